use bone_lm::checkpoint::{CheckpointError, LoadError};
use bone_lm::joined;
use std::path::PathBuf;

/// Why an RWKV6 could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Rwkv6Error {
    /// `config.json` is missing or unreadable.
    #[error("{}: {reason}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The system's reason, or the error in the JSON.
        reason: String,
    },
    /// `config.json` has impossible or unsupported values; all are listed.
    #[error("{} has unsupported or invalid settings:\n  {}", path.display(), joined(problems, "\n  "))]
    Config {
        /// The file.
        path: PathBuf,
        /// One line per field.
        problems: Vec<String>,
    },
    /// The tensors are not an RWKV6's; every problem is listed.
    #[error("{} is not an RWKV6 (x060) model:\n  {}", path.display(), joined(problems, "\n  "))]
    NotRwkv6 {
        /// The checkpoint's file or folder.
        path: PathBuf,
        /// One line per tensor.
        problems: Vec<String>,
    },
    /// `config.json` contradicts the tensors beside it; all differences are listed.
    #[error("{} contradicts the tensors:\n  {}", path.display(), joined(problems, "\n  "))]
    Contradicted {
        /// The file.
        path: PathBuf,
        /// One line per field.
        problems: Vec<String>,
    },
    /// The weights' files are unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights do not match the dimensions that they imply.
    #[error(transparent)]
    Load(Box<LoadError>),
}

impl From<LoadError> for Rwkv6Error {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}
