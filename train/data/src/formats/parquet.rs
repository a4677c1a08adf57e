//! A Parquet file, row by row.
//!
//! The crate `parquet` reads a few rows at a time, and `arrow-json` writes them as JSON, one object per
//! line ([`json`]). Type hints of other tools in the file's metadata are ignored, so that equal columns
//! give equal rows. `parquet` panics on some damaged pages, so every call of it goes through [`guarded`].

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use ::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::Place;
use super::lines::Lines;
use super::problem::Item;
use crate::DataError;
use bone_files::panics::caught;

mod json;

#[cfg(test)]
mod tests;

/// Maximum number of rows to read at once.
const MOST_ROWS: i64 = 256;
/// Target size of the rows read at once, uncompressed, in bytes.
const BATCH_BYTES: i64 = 1 << 20;

/// Reader for the rows of one file.
pub(super) struct Table {
    path: PathBuf,
    batches: ParquetRecordBatchReader,
    /// The rows of the last batch, as JSON Lines.
    rows: Lines<Cursor<Vec<u8>>>,
    limit: usize,
    number: u64,
    /// Total number of rows according to the row groups.
    total: i64,
}

impl Table {
    /// Opens `path`. A row of more than `limit` bytes as JSON is a problem.
    pub(super) fn open(path: &Path, limit: usize) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path))?;
        let (batches, total) = guarded(path, || {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?;
            let groups = builder.metadata().row_groups().iter();
            let total = groups.map(RowGroupMetaData::num_rows).sum();
            let rows = rows_at_once(builder.metadata());
            Ok((builder.with_batch_size(rows).build()?, total))
        })?;
        Ok(Self {
            path: path.to_owned(),
            batches,
            rows: Lines::new(Cursor::default(), 0, limit),
            limit,
            number: 0,
            total,
        })
    }

    /// Returns the next row.
    pub(super) fn next_row(&mut self) -> Result<Option<Item>, DataError> {
        loop {
            let row = self.rows.next_row();
            if let Some((_, row)) = row.map_err(DataError::io(&self.path))? {
                self.number += 1;
                return Ok(Some((Place::Row(self.number), row)));
            }
            let batches = &mut self.batches;
            let next = guarded(&self.path, || {
                let batch = batches.next().transpose()?;
                batch.map(|batch| json::lines(&batch)).transpose()
            })?;
            let Some(lines) = next else {
                return self.end();
            };
            self.rows = Lines::new(Cursor::new(lines), 0, self.limit);
        }
    }

    /// Checks that all rows were read: a column that ends too early ends the file.
    fn end(&self) -> Result<Option<Item>, DataError> {
        if i64::try_from(self.number) == Ok(self.total) {
            return Ok(None);
        }
        let what = format!("expected {} rows, found {}", self.total, self.number);
        Err(DataError::damaged(&self.path, what))
    }
}

/// Calls the crate `parquet` to read `path`. Any error ends the reading.
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    let result =
        caught(call).unwrap_or_else(|| Err(ParquetError::General("it is inconsistent".to_owned())));
    result.map_err(|error| DataError::damaged(path, error.to_string()))
}

/// Returns the number of rows to read at once, so that few large rows are in memory together.
fn rows_at_once(metadata: &ParquetMetaData) -> usize {
    let groups = metadata.row_groups().iter();
    let largest = groups.map(|group| group.total_byte_size() / group.num_rows().max(1));
    let rows = BATCH_BYTES / largest.max().unwrap_or(1).max(1);
    rows.clamp(1, MOST_ROWS) as usize
}
