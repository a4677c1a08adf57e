//! A JSON array of objects, an element at a time.

use std::io::{self, BufRead, ErrorKind};

use super::json::{self, Start};
use super::problem::Item;
use super::scan::{Scan, Stop};
use super::{Place, RowProblem};

/// Reads elements of at most `limit` bytes, and skips those that have more.
///
/// Each is found by [`Scan`] and parsed on its own, so that one that is broken leaves the others
/// as they are.
pub(super) struct Array<R> {
    reader: R,
    element: Vec<u8>,
    number: u64,
    limit: usize,
    at: At,
    /// Where the next byte is.
    place: Start,
}

/// What comes next.
enum At {
    /// The first element, or the end.
    First,
    /// An element.
    Element,
    /// Blank space, behind the array.
    Behind,
    /// Nothing: the file ended before the array did, and this has not been said.
    CutOff,
    /// Nothing.
    End,
}

/// One element as it was read.
struct Element {
    start: Start,
    whole: bool,
    blank: bool,
    /// Nothing where the file ended.
    stop: Option<Stop>,
}

impl<R: BufRead> Array<R> {
    /// Reads on behind the opening bracket, in line `line`.
    pub(super) fn new(reader: R, line: u64, column: u64, limit: usize) -> Self {
        Self {
            reader,
            element: Vec::new(),
            number: 0,
            limit,
            at: At::First,
            place: Start { line, column },
        }
    }

    /// The next element, or what is wrong with the array's end.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Item>> {
        match self.at {
            At::First | At::Element => {}
            At::CutOff => {
                self.at = At::End;
                return Ok(Some(self.item(Err(RowProblem::Unclosed))));
            }
            At::Behind => {
                self.at = At::End;
                let more = self.has_more()?;
                return Ok(more.then(|| self.item(Err(RowProblem::BehindArray))));
            }
            At::End => return Ok(None),
        }
        let element = self.read_element()?;
        let first = matches!(self.at, At::First);
        self.at = match element.stop {
            Some(Stop::Comma) => At::Element,
            Some(Stop::Close) => At::Behind,
            None => At::CutOff,
        };
        if element.blank {
            return match element.stop {
                None => self.next_row(),
                Some(Stop::Close) if first => self.next_row(),
                Some(_) => Ok(Some(self.item(Err(RowProblem::Nothing)))),
            };
        }
        let row = if element.whole {
            json::object(&self.element, Some(element.start))
        } else {
            Err(RowProblem::TooLong { limit: self.limit })
        };
        // Of an element that is cut off, that is what is wrong.
        let row = match row {
            Err(problem) if element.stop.is_none() && json::is_cut_off(&problem) => {
                self.at = At::End;
                Err(RowProblem::Unclosed)
            }
            row => row,
        };
        Ok(Some(self.item(row)))
    }

    fn item(
        &mut self,
        row: Result<serde_json::Map<String, serde_json::Value>, RowProblem>,
    ) -> Item {
        self.number += 1;
        (Place::Row(self.number), row)
    }

    fn read_element(&mut self) -> io::Result<Element> {
        self.element.clear();
        let mut scan = Scan::default();
        let mut found = Element {
            start: self.place,
            whole: true,
            blank: true,
            stop: None,
        };
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                return Ok(found);
            }
            let end = scan.feed(buffer);
            let mut piece = &buffer[..end.map_or(buffer.len(), |(at, _)| at)];
            let used = piece.len() + usize::from(end.is_some());
            if found.blank {
                let blanks = piece.iter().take_while(|&&b| json::is_blank(b)).count();
                let (blank, rest) = piece.split_at(blanks);
                self.place.pass(blank);
                found.start = self.place;
                found.blank = rest.is_empty();
                piece = rest;
            }
            self.place.pass(piece);
            self.place.column += u64::from(end.is_some());
            found.whole &= self.element.len() + piece.len() <= self.limit;
            if found.whole {
                self.element.extend_from_slice(piece);
            } else {
                self.element = Vec::new();
            }
            self.reader.consume(used);
            if let Some((_, stop)) = end {
                found.stop = Some(stop);
                return Ok(found);
            }
        }
    }

    /// Bytes that are held for an element.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.element.capacity()
    }

    /// Whether anything but blank space is left.
    fn has_more(&mut self) -> io::Result<bool> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                return Ok(false);
            }
            if !buffer.iter().all(|&byte| json::is_blank(byte)) {
                return Ok(true);
            }
            let used = buffer.len();
            self.reader.consume(used);
        }
    }
}

impl Start {
    /// Moves behind `bytes`.
    fn pass(&mut self, bytes: &[u8]) {
        match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => {
                self.line += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.column = (bytes.len() - last) as u64;
            }
            None => self.column += bytes.len() as u64,
        }
    }
}
