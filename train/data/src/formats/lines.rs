//! JSON Lines: an object a line.

use std::io::{self, BufRead, ErrorKind};

use super::json;
use super::problem::Item;
use super::{Place, RowProblem};

/// Reads rows of at most `limit` bytes, and skips those that have more.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    limit: usize,
}

impl<R: BufRead> Lines<R> {
    /// Reads on where `number` lines have gone before.
    pub(super) fn new(reader: R, number: u64, limit: usize) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number,
            limit,
        }
    }

    /// The next line that is not blank.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Item>> {
        loop {
            let Some(whole) = self.read_line()? else {
                return Ok(None);
            };
            let row = if !whole {
                Err(RowProblem::TooLong { limit: self.limit })
            } else if self.line.iter().all(|&byte| json::is_blank(byte)) {
                continue;
            } else {
                json::object(&self.line, None)
            };
            return Ok(Some((Place::Line(self.number), row)));
        }
    }

    /// Reads a line without its break, and says whether it is there whole; nothing at the end.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let (mut any, mut whole) = (false, true);
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                self.number += u64::from(any);
                return Ok(any.then_some(whole));
            }
            any = true;
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let piece = &buffer[..end.unwrap_or(buffer.len())];
            whole &= self.line.len() + piece.len() <= self.limit;
            if whole {
                self.line.extend_from_slice(piece);
            } else {
                // Given back: the next lines are likely to be short again.
                self.line = Vec::new();
            }
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                self.number += 1;
                return Ok(Some(whole));
            }
        }
    }

    /// Bytes that are held for a row.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.line.capacity()
    }
}
