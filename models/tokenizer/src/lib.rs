//! Text to token ids and back.

mod bytes;
mod choice;
mod hf;
mod pieces;
mod stream;
mod world;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use bone_files::wording::and_more;

pub use bytes::ByteTokenizer;
pub use choice::{TokenizerChoice, companions, open};
pub use hf::HfTokenizer;
pub use pieces::{Encoded, Piece, encode_pieces};
pub use stream::TextStream;
pub use world::WorldTokenizer;

/// What a model's tokenizer offers to training and generation.
pub trait Tokenizer: Send + Sync {
    /// The ids of `text`, with no token added at either end.
    ///
    /// # Errors
    /// When the text can't be tokenised.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError>;

    /// The text of `ids`. Special tokens are left out, and ids past the vocabulary too: a model's
    /// output may be padded to more rows than there are tokens.
    ///
    /// # Errors
    /// When the tokenizer's own decoder fails.
    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError>;

    /// The beginning-of-sequence token, where sequences start with one.
    fn bos(&self) -> Option<u32>;

    /// The tokens that end generation; the first is appended in training. May be empty: then
    /// nothing ends generation and nothing is appended.
    fn eos(&self) -> &[u32];

    /// The largest id plus one.
    fn vocab_size(&self) -> usize;

    /// Whether `id` is a special token, which [`Tokenizer::decode`] leaves out of the text.
    fn is_special(&self, id: u32) -> bool {
        self.bos() == Some(id) || self.eos().contains(&id)
    }

    /// This tokenizer as one that takes bytes which need not be text, if it does.
    fn byte_level(&self) -> Option<&dyn ByteLevel> {
        None
    }
}

/// A tokenizer of bytes: `decode_bytes(encode_bytes(x))` is `x`, whatever the bytes.
pub trait ByteLevel: Tokenizer {
    /// The ids of `bytes`, with no token added at either end.
    fn encode_bytes(&self, bytes: &[u8]) -> Vec<u32>;

    /// The bytes of `ids`. Those that stand for none are left out: special tokens, ids past the
    /// vocabulary.
    fn decode_bytes(&self, ids: &[u32]) -> Vec<u8>;
}

/// Why a tokenizer could not be read or used.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The folder has no tokenizer that can be read.
    #[error("{} has no tokenizer.json: {hint}", folder.display())]
    NoTokenizer {
        /// The folder.
        folder: PathBuf,
        /// What to do, judged by what the folder holds instead.
        hint: String,
    },
    /// A file could not be read.
    #[error("{} could not be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not valid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A folder has several vocabularies.
    #[error("{} has several vocabularies, {}: name the one to use", folder.display(), names.join(", "))]
    SeveralVocabularies {
        /// The folder.
        folder: PathBuf,
        /// The files' names.
        names: Vec<String>,
    },
    /// Lines of a vocabulary can't be used; all are counted, the first shown.
    #[error("{} is not a RWKV vocabulary, download it again: {total} bad line(s): {}",
        path.display(), list(shown, *total))]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// Line, from 1, and what is wrong with it.
        shown: Vec<(usize, String)>,
        /// How many lines there are.
        total: usize,
    },
    /// The folder's files name special tokens that can't be used; all are listed.
    #[error("the special tokens in {} can't be used: {}", folder.display(), problems.join("; "))]
    SpecialTokens {
        /// The folder.
        folder: PathBuf,
        /// One message a problem.
        problems: Vec<String>,
    },
    /// A text could not be turned into ids.
    #[error("text could not be tokenised: {reason}")]
    Encode {
        /// The tokenizer's reason.
        reason: String,
    },
    /// A sequence begins twice.
    #[error(
        "token {id}, which begins a sequence, stands twice in a row at token {at}: the template and \
         the tokenizer both add it; take it out of the template"
    )]
    DoubledBos {
        /// The token.
        id: u32,
        /// Where the second is.
        at: usize,
    },
    /// Ids could not be turned into text.
    #[error("token ids could not be decoded: {reason}")]
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
