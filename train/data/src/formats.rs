//! Files of data, read row by row.
//!
//! [`Selection`] is what a person writes, a file or a folder's split and perhaps a range of rows,
//! and finds the files. [`Rows`] reads one of them, JSON Lines, a JSON array or Parquet, as
//! objects with their [`Place`]. [`read_bytes`] reads any other file as bytes. All three look at
//! what a file holds and not at its name, and undo gzip and zstd.
//!
//! Of a file of rows only one row is held, of at most [`MAX_ROW_BYTES`], and for Parquet what
//! [`Rows`] says. A row that is wrong is a [`RowProblem`] and the next is read; a file that cannot
//! be read on is a [`DataError`](crate::DataError).

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
