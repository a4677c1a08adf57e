use bone_lm::checkpoint::{CheckpointError, LoadError};
use std::path::PathBuf;

/// Why an RWKV6 could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Rwkv6Error {
    /// `config.json` is missing or unreadable.
    #[error("{}: {reason}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The system's reason or what is wrong with the JSON.
        reason: String,
    },
    /// `config.json` asks for something impossible or not supported; all of it is listed.
    #[error("{} asks for what is not supported or not possible:{}", path.display(), list(problems))]
    Config {
        /// The file.
        path: PathBuf,
        /// One line a field.
        problems: Vec<String>,
    },
    /// The tensors are not an RWKV6's; everything that is wrong is listed.
    #[error("{} holds no RWKV6 (x060):{}", path.display(), list(problems))]
    NotRwkv6 {
        /// The checkpoint's file or folder.
        path: PathBuf,
        /// One line a tensor.
        problems: Vec<String>,
    },
    /// `config.json` tells of another model than the tensors beside it; all of it is listed.
    #[error("{} contradicts the tensors beside it:{}", path.display(), list(problems))]
    Contradicted {
        /// The file.
        path: PathBuf,
        /// One line a field.
        problems: Vec<String>,
    },
    /// The weights' files are unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights do not fit the dimensions they imply.
    #[error(transparent)]
    Load(Box<LoadError>),
}

impl From<LoadError> for Rwkv6Error {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

fn list(problems: &[String]) -> String {
    problems.iter().map(|p| format!("\n  {p}")).collect()
}
