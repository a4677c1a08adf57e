//! The rows of one data file.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::array::Array;
use super::format::{BYTE_ORDER_MARK, Compression, DELIMITED, PARQUET, is_delimited, refusal};
use super::lines::Lines;
use super::parquet::Table;
use super::problem::Item;
use super::{RowProblem, bytes};
use crate::DataError;

/// Maximum bytes of a row: of a line, of an array element, or of the content of a table row. A longer row
/// is skipped and is a [`RowProblem`].
///
/// This limits the memory per row: a tokenizer may take 200 bytes per byte of text.
pub const MAX_ROW_BYTES: usize = 4 << 20;

/// Bytes to read at once.
const BUFFER: usize = 128 << 10;

type Input = BufReader<Box<dyn Read + Send>>;

/// The rows of one data file, in the file's order.
///
/// Each row is an object with its place, or a problem; after a problem the next row can be read. After an
/// error there are no more rows. Blank lines are not rows.
///
/// The memory does not grow with the file. JSON takes a buffer, and a row of at most [`MAX_ROW_BYTES`] as
/// text and as values. Parquet takes one page and one dictionary per column, decompressed, as large as the
/// writer made them (mostly a megabyte each). It also takes the footer and some rows as columns and as
/// JSON: at most 256 rows, together about a megabyte by the footer's sizes, or one row.
///
/// In Parquet a group becomes an object, a list an array and a map an object, so a row equals the same row
/// in a JSON file. Text and binary become strings and must be UTF-8. Dates, times and timestamps become ISO
/// 8601 strings, and decimals become strings of their digits. NaN and the infinities, which JSON lacks,
/// become null. Other values (bytes that are not text, intervals, maps with non-text keys) are an error
/// only where their field is needed.
pub struct Rows {
    path: PathBuf,
    compression: Option<Compression>,
    reader: Reader,
    /// The first row, which was read to check that the file has one.
    first: Option<Item>,
    done: bool,
}

enum Reader {
    Lines(Lines<Input>),
    Array(Array<Input>),
    Table(Box<Table>),
}

impl Rows {
    /// Opens `path` and recognizes the format by its first bytes, whatever its name.
    ///
    /// # Errors
    /// [`DataError`]: the file cannot be read, has an unsupported format, is damaged at or before its first
    /// row, or has no row.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::open_with_limit(path, MAX_ROW_BYTES)
    }

    pub(super) fn open_with_limit(path: &Path, limit: usize) -> Result<Self, DataError> {
        let opened = bytes::open(path)?;
        let compression = opened.compression;
        if let Some(what) = refusal(&opened.head, compression) {
            return Err(DataError::unusable(path, what));
        }
        let reader = if opened.head.starts_with(PARQUET) {
            Reader::Table(Box::new(Table::open(path, limit)?))
        } else {
            let input = BufReader::with_capacity(BUFFER, opened.reader);
            let has_mark = opened.head.starts_with(BYTE_ORDER_MARK);
            json(input, has_mark, limit)
                .map_err(|error| bytes::reading(path, compression, error))?
        };
        let mut rows = Self {
            path: path.to_owned(),
            compression,
            reader,
            first: None,
            done: false,
        };
        rows.first = rows.advance()?;
        match &rows.first {
            Some((_, Err(RowProblem::NotJson { .. }))) if is_delimited(&opened.head) => {
                Err(DataError::unusable(path, DELIMITED))
            }
            Some(_) => Ok(rows),
            None => Err(DataError::empty(path, "the file has no rows")),
        }
    }

    /// Returns the file's layout, `JSON Lines`, `JSON array` or `Parquet`, and its compression.
    #[must_use]
    pub fn format(&self) -> String {
        let layout = match self.reader {
            Reader::Lines(_) => "JSON Lines",
            Reader::Array(_) => "JSON array",
            Reader::Table(_) => "Parquet",
        };
        let compression = self
            .compression
            .map(|compression| format!(", {compression}"));
        format!("{layout}{}", compression.unwrap_or_default())
    }

    fn advance(&mut self) -> Result<Option<Item>, DataError> {
        let read = match &mut self.reader {
            Reader::Lines(lines) => lines.next_row(),
            Reader::Array(array) => array.next_row(),
            Reader::Table(table) => return table.next_row(),
        };
        read.map_err(|error| bytes::reading(&self.path, self.compression, error))
    }
}

impl Iterator for Rows {
    type Item = Result<Item, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(item) = self.first.take() {
            return Some(Ok(item));
        }
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Rows");
        shown.field("path", &self.path);
        shown
            .field("format", &self.format())
            .finish_non_exhaustive()
    }
}

/// Finds the first non-blank byte, which decides between the JSON layouts.
fn json(mut input: Input, has_mark: bool, limit: usize) -> io::Result<Reader> {
    if has_mark {
        let mut mark = [0; BYTE_ORDER_MARK.len()];
        input.read_exact(&mut mark)?;
    }
    let (mut lines, mut column) = (0, 1);
    loop {
        let first = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?.first().copied(),
        };
        match first {
            Some(b'\n') => (lines, column) = (lines + 1, 1),
            Some(b' ' | b'\t' | b'\r') => column += 1,
            Some(b'[') => {
                input.consume(1);
                let array = Array::new(input, lines + 1, column + 1, limit);
                return Ok(Reader::Array(array));
            }
            _ => {
                return Ok(Reader::Lines(Lines::new(input, lines, limit)));
            }
        }
        input.consume(1);
    }
}

#[cfg(test)]
mod tests;
