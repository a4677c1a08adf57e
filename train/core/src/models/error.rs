//! Errors of opening, loading and saving models and adapters.

use bone::{FileError, ValueError};
use bone_data::PromptError;
use bone_llama2::LlamaError;
use bone_lm::checkpoint::{CheckpointError, SaveError};
use bone_rwkv6::Rwkv6Error;
use std::path::{Path, PathBuf};

/// Advice for a path that is not a model.
pub(crate) const GIVE_A_MODEL: &str =
    "give a Hugging Face folder, or a .pth or .safetensors file of RWKV";

/// Reason why a model or an adapter could not be opened, loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file or folder is not of the expected kind.
    #[error("{}: {reason}", path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The system cannot read or write a folder or file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A LLaMA model could not be built.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// An RWKV6 model could not be built.
    #[error(transparent)]
    Rwkv6(#[from] Rwkv6Error),
    /// The weight files are unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The requested precision does not fit the weights.
    #[error(transparent)]
    Values(#[from] ValueError),
    /// The adapter's files are unusable or do not fit the model.
    #[error(transparent)]
    Adapter(#[from] FileError),
    /// The template and tokenizer saved beside the adapter cannot be read.
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

impl ModelError {
    pub(super) fn path(path: &Path, reason: impl Into<String>) -> Self {
        Self::Path {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }
}
