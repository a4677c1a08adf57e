//! Text to token ids and back.

mod hf;
mod prompt;
mod stream;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use hf::HfTokenizer;
pub use prompt::encode_prompt_and_response;
pub use stream::TextStream;

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

    /// The tokens that end generation, at least one; the first is appended in training.
    fn eos(&self) -> &[u32];

    /// The largest id plus one.
    fn vocab_size(&self) -> usize;
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
    /// Ids could not be turned into text.
    #[error("token ids could not be decoded: {reason}")]
    Decode {
        /// The tokenizer's reason.
        reason: String,
    },
}

#[cfg(test)]
mod tests;
