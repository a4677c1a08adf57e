//! A Parquet file, row by row.
//!
//! The crate `parquet` undoes pages and encodings; rows are put together here, from each column's
//! definition and repetition levels as the Dremel paper has them (Melnik et al. 2010, section 4).
//! Its own rows have the wrong shape for some nested schemas and panic on types they lack.
//!
//! What a file says of itself is checked before it is believed (`footer`, `pages`, `delta`), and
//! since the crate still panics on some damaged pages, every call of it goes through [`guarded`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::rows::Item;
use super::{Place, SourceError};
use assemble::Row;
use column::Column;
use guard::{Fault, guarded};
use tree::Tree;

mod assemble;
mod column;
mod delta;
mod footer;
mod guard;
mod pages;
mod thrift;
mod time;
mod tree;
mod value;

#[cfg(test)]
mod tests;

/// Reads the rows of one file.
pub(super) struct Table {
    path: PathBuf,
    file: Arc<File>,
    metadata: ParquetMetaData,
    tree: Tree,
    limit: usize,
    /// Row group that is read next.
    next_group: usize,
    columns: Vec<Box<dyn Column>>,
    /// Rows of the open group that have not been read.
    left: u64,
    number: u64,
}

impl Table {
    /// Opens `path`; rows that hold more than `limit` bytes are problems.
    pub(super) fn open(path: &Path, limit: usize) -> Result<Self, SourceError> {
        let broken = |fault| Fault::into_error(fault, path);
        let file = File::open(path).map_err(|source| SourceError::io(path, source))?;
        let metadata = footer::read(&file).map_err(broken)?;
        let tree = Tree::new(metadata.file_metadata().schema_descr()).map_err(broken)?;
        footer::check_codecs(&metadata).map_err(broken)?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            metadata,
            tree,
            limit,
            next_group: 0,
            columns: Vec::new(),
            left: 0,
            number: 0,
        })
    }

    /// The next row.
    pub(super) fn next_row(&mut self) -> Result<Option<Item>, SourceError> {
        self.advance().map_err(|fault| fault.into_error(&self.path))
    }

    fn advance(&mut self) -> Result<Option<Item>, Fault> {
        while self.left == 0 {
            for (column, name) in self.columns.iter_mut().zip(&self.tree.names) {
                column.finish(name)?;
            }
            self.columns.clear();
            let Some(group) = self.metadata.row_groups().get(self.next_group) else {
                return Ok(None);
            };
            self.left = u64::try_from(group.num_rows())
                .map_err(|_| Fault::damaged("a row group has fewer than no rows"))?;
            self.columns = open_group(&self.file, group, &self.tree)?;
            self.next_group += 1;
        }
        self.left -= 1;
        self.number += 1;
        let row = Row::read(&self.tree, &mut self.columns, self.limit)?;
        Ok(Some((Place::Row(self.number), row)))
    }
}

fn open_group(
    file: &Arc<File>,
    group: &RowGroupMetaData,
    tree: &Tree,
) -> Result<Vec<Box<dyn Column>>, Fault> {
    if group.num_columns() != tree.names.len() {
        return Err(Fault::damaged("a row group lacks some of its columns"));
    }
    group
        .columns()
        .iter()
        .zip(&tree.names)
        .map(|(chunk, name)| column::open(file, chunk, group.num_rows(), name))
        .collect()
}
