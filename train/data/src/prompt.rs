//! Prompt format of a training run, saved beside its result.
//!
//! Training, evaluation and generation use the same template and tokenizer. [`PROMPT_FILE`] in an adapter's
//! folder records them.

use crate::Template;
use bone_files::{MAX_JSON_BYTES, read_small};
use bone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file's name.
pub const PROMPT_FILE: &str = "bone_prompt.json";

/// A text with many kinds of characters. Two tokenizers that agree on it count as equal.
const PROBE: &str =
    "Q: 3 apples cost $1.50, and 12 of them?\n\tA: \u{e9}t\u{e9} \u{4f60}\u{597d} <s></s>";

/// Why a [`Prompt`] cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The file cannot be written, read, or parsed by this version.
    #[error("{}: {reason}", .path.display())]
    Path {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer differs from that of the training run; the error lists the differences.
    #[error(
        "--tokenizer: not the tokenizer of the training run (different: {0}); give the tokenizer of the \
         run, or copy its files to the model's folder"
    )]
    Tokenizer(String),
}

/// The template and the tokenizer of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The complete template; `None` if the run used none.
    pub template: Option<Template>,
    tokenizer: Tokens,
}

/// Facts that identify a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    bos: Option<u32>,
    eos: Vec<u32>,
    vocab_size: usize,
    text: String,
    /// The ids of the text; empty if the tokenizer cannot encode it.
    ids: Vec<u32>,
}

impl Tokens {
    fn of(tokenizer: &dyn Tokenizer, text: &str) -> Self {
        Self {
            bos: tokenizer.bos(),
            eos: tokenizer.eos().to_vec(),
            vocab_size: tokenizer.vocab_size(),
            text: text.to_owned(),
            ids: tokenizer.encode(text).unwrap_or_default(),
        }
    }
}

impl Prompt {
    /// Returns the prompt of a run.
    pub fn new(template: Option<&Template>, tokenizer: &dyn Tokenizer) -> Self {
        Self {
            template: template.cloned(),
            tokenizer: Tokens::of(tokenizer, PROBE),
        }
    }

    /// Writes the prompt into `folder`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), PromptError> {
        let path = folder.join(PROMPT_FILE);
        std::fs::write(&path, self.to_json()).map_err(|error| PromptError::Path {
            path,
            reason: error.to_string(),
        })
    }

    /// Returns the content of the file.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("texts and numbers under names can be JSON") + "\n"
    }

    /// Reads the prompt from `folder`, or from beside a weight file; `None` if neither exists.
    ///
    /// # Errors
    /// The file cannot be read, or this version does not support it.
    pub fn load(folder: &Path) -> Result<Option<Self>, PromptError> {
        let folder = if folder.is_file() {
            folder.parent().unwrap_or(Path::new(""))
        } else {
            folder
        };
        let path = folder.join(PROMPT_FILE);
        let wrong = |reason: String| PromptError::Path {
            path: path.clone(),
            reason,
        };
        let bytes = read_small(&path, MAX_JSON_BYTES).map_err(|error| wrong(error.to_string()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            wrong(format!(
                "the prompt of the training run cannot be read: {error}"
            ))
        })
    }

    /// Checks that `tokenizer` is the one of the training run.
    ///
    /// # Errors
    /// A message with the differences and the advice.
    pub fn check(&self, tokenizer: &dyn Tokenizer) -> Result<(), PromptError> {
        let own = Tokens::of(tokenizer, &self.tokenizer.text);
        let trained = &self.tokenizer;
        let differs: Vec<_> = [
            ("the first token", own.bos != trained.bos),
            ("the end tokens", own.eos != trained.eos),
            ("the number of tokens", own.vocab_size != trained.vocab_size),
            ("the tokens of a text", own.ids != trained.ids),
        ]
        .into_iter()
        .filter_map(|(what, differs)| differs.then_some(what))
        .collect();
        if differs.is_empty() {
            Ok(())
        } else {
            Err(PromptError::Tokenizer(differs.join(", ")))
        }
    }
}
