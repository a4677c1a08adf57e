//! One data file's rows.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::array::Array;
use super::format::{BYTE_ORDER_MARK, Compression, DELIMITED, PARQUET, is_delimited, refusal};
use super::lines::Lines;
use super::parquet::Table;
use super::problem::Item;
use super::{RowProblem, bytes};
use crate::DataError;

/// The most bytes a row may have: a line, an element of an array, or what a table's row holds.
/// A longer one is skipped and is a [`RowProblem`].
///
/// A tokenizer may take 200 bytes for one of a text, so this bounds what a row costs.
pub const MAX_ROW_BYTES: usize = 4 << 20;

/// How much is read at once.
const BUFFER: usize = 128 << 10;

type Input = BufReader<Box<dyn Read + Send>>;

/// The rows of one data file, in the file's order.
///
/// Each is an object with its place, or what is wrong with it, and then the next can be read
/// still. After an error there are no more rows. Blank lines are no rows.
///
/// Memory does not grow with the file. JSON: a buffer, and a row of at most [`MAX_ROW_BYTES`] as
/// text and as values. Parquet: for each column one page and one dictionary, decompressed, as
/// large as the writer made them (mostly a megabyte each), some rows as columns and as JSON (at
/// most 256, of about a megabyte together by the footer's sizes, or one row), and the footer.
///
/// Of Parquet, a group becomes an object, a list an array, a map an object, so that a row is what
/// the same row in a JSON file would be. Text and binary become strings and must be UTF-8; dates,
/// times and timestamps are strings as ISO 8601 has them, decimals strings of their digits; NaN
/// and the infinities, which JSON lacks, become null. A value without any such form (bytes that are
/// not text, intervals, maps with other keys than text) is an error only where its field is needed.
pub struct Rows {
    path: PathBuf,
    compression: Option<Compression>,
    reader: Reader,
    /// What was read to see whether there is a row at all.
    first: Option<Item>,
    done: bool,
}

enum Reader {
    Lines(Lines<Input>),
    Array(Array<Input>),
    Table(Box<Table>),
}

impl Rows {
    /// Opens `path` and finds out what it is: by its first bytes, whatever its name.
    ///
    /// # Errors
    /// [`DataError`]: a file that cannot be read, is not of a kind that is read, is damaged in
    /// its first row or before it, or has no row.
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
            None => Err(DataError::empty(path, "the file holds no rows")),
        }
    }

    /// Returns how the file is laid out: `JSON Lines`, `JSON array` or `Parquet`, and its
    /// compression.
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

/// Finds the first byte that is not blank, which says how JSON is laid out.
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
