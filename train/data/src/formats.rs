//! Reading data files row by row.
//!
//! [`Selection`] is the user's input: a file or a folder's split, and optionally a range of rows. It finds
//! the files. [`Rows`] reads one of them, JSON Lines, a JSON array or Parquet, as objects with their
//! [`Place`]. [`read_bytes`] reads any other file as bytes. All three look at a file's content, not at its
//! name, and decompress gzip and zstd.
//!
//! Only one row of a file is in memory, of at most [`MAX_ROW_BYTES`]; for Parquet see [`Rows`]. A bad row
//! is a [`RowProblem`], and reading continues with the next row. A file that cannot be read further is a
//! [`DataError`](crate::DataError).

mod array;
mod bytes;
mod format;
mod json;
mod lines;
mod parquet;
mod problem;
mod rows;
mod scan;
mod select;
mod unreadable;

pub(crate) use bytes::read_bytes;
pub(crate) use json::kind;
pub use problem::{Place, RowProblem};
pub use rows::{MAX_ROW_BYTES, Rows};
pub use select::Selection;
pub(crate) use unreadable::why_unreadable;
