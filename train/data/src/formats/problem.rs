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
    /// Text that does not parse.
    #[error("not JSON: {what}")]
    NotJson {
        /// What the parser says, and where.
        what: String,
        /// Whether the text ends too early.
        cut_off: bool,
    },
    /// A field that the schema needs, and that a field map could name.
    #[error("field '{0}' is missing")]
    Missing(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl RowProblem {
    /// A row of more than `limit` bytes, which was skipped.
    pub(super) fn too_long(limit: usize) -> Self {
        Self::Other(format!(
            "longer than {} MiB, the most a row may have: split it, or take out what is not needed",
            limit >> 20
        ))
    }
}
