//! Why a model or an adapter cannot be opened, loaded or saved.

use bone::{FileError, ValueError};
use bone_data::PromptError;
use bone_llama2::LlamaError;
use bone_lm::checkpoint::{CheckpointError, SaveError};
use bone_rwkv6::Rwkv6Error;
use std::path::{Path, PathBuf};

/// What to do about a path that is no model's.
pub(crate) const GIVE_A_MODEL: &str =
    "give the folder of a Hugging Face model, or RWKV's .pth or .safetensors";

/// Why a model or an adapter could not be opened, loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file or folder is not what it should be.
    #[error("{}: {reason}", path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// What the system says of a folder or file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
    /// A LLaMA could not be made.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// An RWKV6 could not be made.
    #[error(transparent)]
    Rwkv6(#[from] Rwkv6Error),
    /// The weights' files are unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// Weights cannot be held in the precision that was asked for.
    #[error(transparent)]
    Values(#[from] ValueError),
    /// The adapter's files are unusable, or do not fit the model.
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
