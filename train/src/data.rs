//! From a file of rows to padded batches.
//!
//! [`read_rows`] reads JSON Lines or a JSON array, a [`Template`] turns a row into a prompt and a
//! completion, [`tokenize`] makes [`Sample`]s that are masked by position, [`split_validation`]
//! holds some of them out, and [`Batches`] orders the rest into optimizer [`Step`]s. Plain text
//! goes through [`read_text`] and [`tokenize_text`] instead, or [`read_bytes`] and
//! [`tokenize_bytes`] where tokens are bytes.

mod batch;
mod field_map;
mod order;
mod rows;
mod sample;
mod split;
mod template;
mod text;

#[cfg(test)]
mod assets_tests;
#[cfg(test)]
mod test_tokenizer;

pub use batch::{Batch, evaluation_batches};
pub use field_map::{FieldMap, FieldMapError, FieldMapProblem};
pub use order::{BatchConfig, Batches, Cursor, OrderError, Step};
pub use rows::{Place, Problem, Row, RowError, RowFile, RowFormat, read_rows};
pub use sample::{Dropped, Limits, Sample, SampleError, tokenize};
pub use split::{Holdout, Split, SplitError, split_validation};
pub use template::{CustomTemplate, Template, TemplateError, TemplateProblem};
pub use text::{TextError, read_bytes, read_text, tokenize_bytes, tokenize_text};
