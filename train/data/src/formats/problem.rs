//! What can be wrong with a row, and where it is.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

/// A row with its place, or what is wrong with it.
pub(super) type Item = (Place, Result<Map<String, Value>, RowProblem>);

/// Where in a file a row is, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A line of the file; blank ones are counted.
    Line(u64),
    /// An element of the file's array, or a row of its table.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
        }
    }
}

/// One thing wrong with a row, which keeps nothing else from being read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RowProblem {
    /// Bytes that are not UTF-8; the first such byte, from 1.
    #[error("invalid UTF-8 at byte {0} of the row")]
    NotUtf8(usize),
    /// Text that does not parse.
    #[error("not JSON: {message} ({}column {column})", in_line(*.line))]
    NotJson {
        /// What the parser says.
        message: String,
        /// Line of the file, from 1, where the row may be on several.
        line: Option<u64>,
        /// Byte of that line, from 1.
        column: u64,
    },
    /// A value that is not an object.
    #[error("not an object but {0}")]
    NotAnObject(&'static str),
    /// A row above the limit, which was skipped.
    #[error("longer than {} MiB, the most a row may have: split it, or take out what is not needed", .limit >> 20)]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A place in an array without a value.
    #[error("nothing there: there is a comma too many before it or after it")]
    Nothing,
    /// An array that does not end.
    #[error("the file ends within its array: it was cut off, or a bracket is missing")]
    Unclosed,
    /// Something behind an array.
    #[error("there is more behind the array's end: make it one array, or one object a line")]
    BehindArray,
}

fn in_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}, "))
}
