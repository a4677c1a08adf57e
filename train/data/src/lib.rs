//! From data files to padded batches.
//!
//! [`Sources`] name files. [`RowReader`] reads their rows one at a time as [`Content`], by their
//! [`Schema`]. A [`Template`] turns a row into pieces of text. [`tokenize`] makes [`Sample`]s, which are
//! masked by position. [`Samples`] stores any number of them. [`split_validation`] holds some out, and
//! [`Batches`] orders the rest into optimizer [`Step`]s. Plain text uses [`read_text`] and
//! [`tokenize_text`] instead, or [`read_bytes`] and [`chunked`] if tokens are bytes. [`Binidx`] holds
//! tokens already.
//!
//! ```
//! use bone_data::{Batch, Limits, RowReader, Template, tokenize};
//! use bone_tokenizer::ByteTokenizer;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("rows.jsonl");
//! std::fs::write(&path, r#"{"instruction": "Say hi.", "output": "hi"}"#)?;
//!
//! let mut rows = RowReader::open(&path, 0..u64::MAX, None)?;
//! let row = rows.next_row()?.expect("the file has a row");
//! let template = Template::load("alpaca", None)?;
//! let limits = Limits { max_seq_len: 512, vocab_size: 256 };
//! let samples = tokenize(&row, 0, &template, &ByteTokenizer, limits)?.samples;
//! // The prompt is context; the answer is trained.
//! assert_eq!(samples[0].trained_tokens(), "hi".len());
//! assert_eq!(Batch::new(&samples, 0).rows, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod binidx;
mod conversation;
mod error;
mod field_map;
mod formats;
mod holdout;
pub mod load;
mod order;
mod prompt;
mod row;
mod sample;
mod schema;
mod sources;
mod suggest;
mod template;
mod text;

#[cfg(test)]
mod assets_tests;
#[cfg(test)]
mod test_tokenizer;

pub use batch::{Batch, evaluation_batches};
pub use binidx::{Binidx, Cut, Summary as BinidxSummary, Writer as BinidxWriter};
pub use bone_files::wording::{counted, grouped, human, joined};
pub use conversation::{Content, Message, Role};
pub use error::DataError;
pub use field_map::FieldMap;
pub use formats::{MAX_ROW_BYTES, Place, RowProblem, Rows, Selection};
pub use holdout::{Holdout, Split, split_validation};
pub use order::{BatchConfig, Batches, Cursor, Pool, Step};
pub use prompt::{PROMPT_FILE, Prompt, PromptError};
pub use row::{Row, RowFile, RowReader};
pub use sample::{Dropped, Limits, Sample, Samples, Tokenized, tokenize};
pub use schema::Schema;
pub use sources::{Kind, Source, Sources};
pub use suggest::{nearest, unknown};
pub use template::{ChatTemplate, CustomTemplate, RenderError, Template, TemplateError};
pub use text::{chunked, read_bytes, read_text, tokenize_text};
