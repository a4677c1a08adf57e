//! JSON Lines: one object per line.

use std::io::{self, BufRead, Read};

use super::json;
use super::problem::Item;
use super::{Place, RowProblem};

/// Reads rows of at most `limit` bytes. Skips longer ones.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    limit: usize,
}

impl<R: BufRead> Lines<R> {
    /// Starts after `number` lines.
    pub(super) fn new(reader: R, number: u64, limit: usize) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number,
            limit,
        }
    }

    /// Returns the next line that is not blank.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Item>> {
        loop {
            self.line.clear();
            let most = self.limit as u64 + 1;
            let mut start = self.reader.by_ref().take(most);
            if start.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            let ended = self.line.pop_if(|byte| *byte == b'\n').is_some();
            let row = if self.line.len() > self.limit {
                // Frees the memory: the next lines are likely to be short again.
                self.line = Vec::new();
                if !ended {
                    self.reader.skip_until(b'\n')?;
                }
                Err(RowProblem::too_long(self.limit))
            } else if self.line.iter().all(|&byte| json::is_blank(byte)) {
                continue;
            } else {
                json::object(&self.line, None)
            };
            return Ok(Some((Place::Line(self.number), row)));
        }
    }

    /// Returns the bytes held for a row.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.line.capacity()
    }
}
