//! Problems of a row, and its place.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

/// A row with its place, or its problem.
pub(super) type Item = (Place, Result<Map<String, Value>, RowProblem>);

/// Place of a row in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A line of the file. Blank lines count.
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

/// One problem of a row. Reading of other rows continues.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RowProblem {
    /// Text that does not parse.
    #[error("invalid JSON: {what}")]
    NotJson {
        /// The parser's message and position.
        what: String,
        /// Whether the text ends too early.
        cut_off: bool,
    },
    /// A missing field that the schema needs and a field map can name.
    #[error("field '{0}' is missing")]
    Missing(String),
    /// Any other problem.
    #[error("{0}")]
    Other(String),
}

impl RowProblem {
    /// Returns the problem that a row has more than `limit` bytes and was skipped.
    pub(super) fn too_long(limit: usize) -> Self {
        Self::Other(format!(
            "longer than {} MiB, the limit for a row: split it or shorten it",
            limit >> 20
        ))
    }
}
