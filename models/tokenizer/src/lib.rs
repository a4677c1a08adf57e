//! Converts text to token ids and back.
//!
//! ```
//! use bone_tokenizer::{TokenizerChoice, open};
//! use std::path::Path;
//!
//! let model = Path::new("../../tests/fixtures/llama-tiny");
//! // The tokenizer of the model's folder, and a description of it.
//! let (tokenizer, _description) = open(model, &TokenizerChoice::Auto, 96)?;
//! let tokens = tokenizer.encode("Hello")?;
//! assert_eq!(tokenizer.decode(&tokens)?, "Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bytes;
mod choice;
mod hf;
mod pieces;
mod stream;
mod world;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use bone_files::wording::{and_more, joined};

pub use bytes::ByteTokenizer;
pub use choice::{TokenizerChoice, companions, open};
pub use hf::HfTokenizer;
pub use pieces::{Encoded, Piece, encode_pieces};
pub use stream::TextStream;
pub use world::WorldTokenizer;

/// The tokenizer interface for training and generation.
pub trait Tokenizer: Send + Sync {
    /// Returns the ids of `text`, with no token added at either end.
    ///
    /// # Errors
    /// If the text can't be tokenised.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError>;

    /// Returns the text of `ids`. It omits special tokens and ids past the vocabulary: a model's
    /// output may be padded to more rows than the vocabulary has tokens.
    ///
    /// # Errors
    /// If the tokenizer's own decoder fails.
    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError>;

    /// Returns the beginning-of-sequence token, if sequences start with one.
    fn bos(&self) -> Option<u32>;

    /// Returns the tokens that end generation; training appends the first. If empty, nothing ends
    /// generation and nothing is appended.
    fn eos(&self) -> &[u32];

    /// Returns the largest id plus one.
    fn vocab_size(&self) -> usize;

    /// Returns whether `id` is a special token, which [`Tokenizer::decode`] omits.
    fn is_special(&self, id: u32) -> bool {
        self.bos() == Some(id) || self.eos().contains(&id)
    }

    /// Returns this tokenizer as one of arbitrary bytes, if it supports them.
    fn byte_level(&self) -> Option<&dyn ByteLevel> {
        None
    }
}

/// A tokenizer of bytes: `decode_bytes(encode_bytes(x))` equals `x` for all bytes.
pub trait ByteLevel: Tokenizer {
    /// Returns the ids of `bytes`, with no token added at either end.
    fn encode_bytes(&self, bytes: &[u8]) -> Vec<u32>;

    /// Returns the bytes of `ids`. It omits special tokens and ids past the vocabulary.
    fn decode_bytes(&self, ids: &[u32]) -> Vec<u8>;
}

/// Why a tokenizer could not be read or used.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The folder has no readable tokenizer.
    #[error("{} has no tokenizer.json: {hint}", folder.display())]
    NoTokenizer {
        /// The folder.
        folder: PathBuf,
        /// What to do, based on the folder's other files.
        hint: String,
    },
    /// A file could not be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is malformed.
    #[error("{} is invalid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A folder has several vocabularies.
    #[error("{} has several vocabularies, {}: choose one with --tokenizer", folder.display(), joined(names, ", "))]
    SeveralVocabularies {
        /// The folder.
        folder: PathBuf,
        /// The files' names.
        names: Vec<String>,
    },
    /// Lines of a vocabulary are invalid; all are counted, and the first are shown.
    #[error("{} is not an RWKV vocabulary: {total} bad line(s): {}; download it again",
        path.display(), list(shown, *total))]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// Line number, from 1, and the problem.
        shown: Vec<(usize, String)>,
        /// Number of invalid lines.
        total: usize,
    },
    /// The folder's files name unusable special tokens; all are listed.
    #[error("the special tokens in {} cannot be used: {}", folder.display(), joined(problems, "; "))]
    SpecialTokens {
        /// The folder.
        folder: PathBuf,
        /// One message per problem.
        problems: Vec<String>,
    },
    /// A text could not be turned into ids.
    #[error("text cannot be tokenized: {reason}")]
    Encode {
        /// The tokenizer's reason.
        reason: String,
    },
    /// A sequence has two beginning-of-sequence tokens in a row.
    #[error(
        "the beginning-of-sequence token {id} occurs twice in a row at position {at}: the template and \
         the tokenizer both add it; remove it from the template"
    )]
    DoubledBos {
        /// The token.
        id: u32,
        /// Position of the second.
        at: usize,
    },
    /// Ids could not be turned into text.
    #[error("token ids cannot be decoded: {reason}")]
    Decode {
        /// The tokenizer's reason.
        reason: String,
    },
}

fn list(shown: &[(usize, String)], total: usize) -> String {
    let lines = shown
        .iter()
        .map(|(line, what)| format!("line {line}: {what}"));
    and_more(lines, total).join("; ")
}

#[cfg(test)]
mod tests;
