//! Why a model cannot be opened, loaded or saved.

use bone_llama2::LlamaError;
use bone_lm::checkpoint::{CheckpointError, SaveError};
use bone_rwkv6::Rwkv6Error;
use std::path::PathBuf;

/// What to do about a path that is no model's.
pub(crate) const GIVE_A_MODEL: &str =
    "give the folder of a Hugging Face model, or RWKV's .pth or .safetensors";

/// Why a model could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder is not a model's.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
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
}
