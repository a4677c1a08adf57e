use bone_lm::checkpoint::{CheckpointError, LoadError};
use bone_lm::joined;
use std::path::PathBuf;

/// Why a LLaMA could not be built.
#[derive(Debug, thiserror::Error)]
pub enum LlamaError {
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
    /// The weights' files are unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights do not fit the configuration.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The embeddings are tied, but the file has a head that differs from them.
    #[error("{}: config.json ties the embeddings, but lm_head.weight differs from model.embed_tokens.weight; set tie_word_embeddings to false or remove lm_head.weight", .0.display())]
    UntiedHead(PathBuf),
}
