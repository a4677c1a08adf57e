//! Why a command failed.

use crate::eval::QuestionError;
use crate::eval::resume::ResultsError;
use bone::{AttachError, FileError, MergeError, ValueError};
use bone_data::load::DatasetError;
use bone_data::{BinidxError, OrderError, PromptError, RenderError, TemplateError};
use bone_lm::checkpoint::{CheckpointError, SaveError};
use bone_lm::generate::GenerateError;
use bone_lm::sampling::SamplingError;
use bone_tokenizer::TokenizerError;
use bone_train::config::ConfigError;
use bone_train::device::DeviceError;
use bone_train::memory::{MemoryError, WeightsError};
use bone_train::models::ModelError;
use bone_train::models::adapter::AdapterError;
use bone_train::optimizer::NonFinite;
use bone_train::run::RunError;
use std::path::{Path, PathBuf};

/// Why a command failed, in a message for a person.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "most variants are another module's error")]
pub enum CommandError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Binidx(#[from] BinidxError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    NonFinite(#[from] NonFinite),
    /// What was asked for is contradictory.
    #[error("{0}")]
    Usage(String),
    /// What was asked for was done, and what came of it is wrong.
    #[error("{0}")]
    Wrong(String),
}

/// Errors that a run has too.
macro_rules! through_run {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::Run(error.into())
            }
        }
    )+};
}

through_run!(
    AdapterError,
    AttachError,
    ConfigError,
    DatasetError,
    DeviceError,
    FileError,
    MemoryError,
    ModelError,
    OrderError,
    PromptError,
    TokenizerError,
    ValueError,
);

impl CommandError {
    /// Returns 2 for a wrong request, 1 for a failure, and 128 + N for signal N.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Run(error) => error.exit_code(),
            Self::Usage(_) | Self::Sampling(_) | Self::Template(_) => 2,
            _ => 1,
        }
    }

    /// Returns whether a signal stopped a run.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Run(error) if error.is_stop())
    }

    /// Returns the error of a request that cannot be met.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Returns the error of a folder or file that is in the way, missing or not what it should be.
    pub(crate) fn path(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        RunError::path(&path.into(), reason).into()
    }

    /// Returns what makes an error of the system's at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| RunError::io(path)(source).into()
    }
}
