//! A JSON array of objects, read one element at a time.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

use super::json::{self, Start};
use super::problem::Item;
use super::scan::{Scan, Stop};
use super::{Place, RowProblem};

const NOTHING: &str = "an element is missing: there is an extra comma before or after it";
const UNCLOSED: &str = "the file ends inside its array: it is cut off, or a bracket is missing";
const BEHIND: &str = "there is text after the array: use a single array, or one object per line";

/// Reads elements of at most `limit` bytes. Skips longer ones.
///
/// [`Scan`] finds the end of each element, and each is parsed separately. So a broken element does not
/// affect the others.
pub(super) struct Array<R> {
    reader: R,
    element: Vec<u8>,
    number: u64,
    limit: usize,
    /// The end of the previous element; `None` before the first.
    before: Option<Stop>,
    /// Whether the end was reported.
    done: bool,
    /// Position of the next byte.
    place: Start,
}

/// One element as read.
struct Element {
    start: Start,
    /// Bytes from the first non-blank byte on.
    len: usize,
    stop: Stop,
}

impl<R: BufRead> Array<R> {
    /// Starts after the opening bracket, in line `line`.
    pub(super) fn new(reader: R, line: u64, column: u64, limit: usize) -> Self {
        Self {
            reader,
            element: Vec::new(),
            number: 0,
            limit,
            before: None,
            done: false,
            place: Start { line, column },
        }
    }

    /// Returns the next element, or a problem with the end of the array.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Item>> {
        if self.done {
            return Ok(None);
        }
        if let Some(Stop::CutOff | Stop::Close) = self.before {
            self.done = true;
            if self.before == Some(Stop::CutOff) {
                return Ok(Some(self.item(wrong(UNCLOSED))));
            }
            let more = self.has_more()?;
            return Ok(more.then(|| self.item(wrong(BEHIND))));
        }
        let element = self.read_element()?;
        let before = self.before.replace(element.stop);
        if element.len == 0 {
            return match element.stop {
                Stop::CutOff => self.next_row(),
                Stop::Close if before.is_none() => self.next_row(),
                _ => Ok(Some(self.item(wrong(NOTHING)))),
            };
        }
        let row = if element.len <= self.limit {
            json::object(&self.element, Some(element.start))
        } else {
            Err(RowProblem::too_long(self.limit))
        };
        // If an element is cut off, only that is reported.
        let row = match row {
            Err(RowProblem::NotJson { cut_off: true, .. }) if element.stop == Stop::CutOff => {
                self.done = true;
                wrong(UNCLOSED)
            }
            row => row,
        };
        Ok(Some(self.item(row)))
    }

    fn item(&mut self, row: Result<Map<String, Value>, RowProblem>) -> Item {
        self.number += 1;
        (Place::Row(self.number), row)
    }

    fn read_element(&mut self) -> io::Result<Element> {
        self.element.clear();
        let mut scan = Scan::default();
        let mut found = Element {
            start: self.place,
            len: 0,
            stop: Stop::CutOff,
        };
        for byte in self.reader.by_ref().bytes() {
            let byte = byte?;
            let here = self.place;
            self.place.pass(byte);
            if let Some(stop) = scan.feed(byte) {
                found.stop = stop;
                break;
            }
            if found.len == 0 {
                found.start = here;
                if json::is_blank(byte) {
                    continue;
                }
            }
            found.len += 1;
            if found.len <= self.limit {
                self.element.push(byte);
            } else {
                self.element = Vec::new();
            }
        }
        Ok(found)
    }

    /// Returns the bytes held for an element.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.element.capacity()
    }

    /// Returns whether anything except blank space follows.
    fn has_more(&mut self) -> io::Result<bool> {
        for byte in self.reader.by_ref().bytes() {
            if !json::is_blank(byte?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Start {
    /// Advances the position by one byte.
    fn pass(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line += 1;
            self.column = 0;
        }
        self.column += 1;
    }
}

fn wrong<T>(what: &str) -> Result<T, RowProblem> {
    Err(RowProblem::Other(what.to_owned()))
}
