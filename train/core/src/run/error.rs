//! Errors of a run, with the command that resumes it.

use super::checkpoint;
use super::shell;
use super::signals::Signal;
use crate::config::ConfigError;
use crate::device::DeviceError;
use crate::disk::{PathError, at};
use crate::memory::MemoryError;
use crate::models::ModelError;
use crate::trainer::TrainError;
use bone_data::{DataError, PromptError};
use bone_tokenizer::TokenizerError;
use std::error::Error;
use std::path::{Path, PathBuf};

/// Reason why a run failed, as a message for the user.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "most variants are another module's error")]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Rows(#[from] DataError),
    #[error(transparent)]
    Attach(#[from] bone::AttachError),
    #[error(transparent)]
    Values(#[from] bone::ValueError),
    #[error(transparent)]
    Save(#[from] bone::FileError),
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The system cannot read or write a file.
    #[error(transparent)]
    Io(#[from] PathError),
    /// A signal stopped the run. Holds its position and the command that resumes it.
    #[error("{}: {place}", signal.name())]
    Stopped { signal: Signal, place: String },
    /// The run failed and can be resumed.
    #[error("{source}; {how}")]
    Resumable {
        source: Box<RunError>,
        /// The command that resumes the run.
        how: String,
    },
    /// A folder or file is in the way or missing.
    #[error("{}: {reason}", path.display())]
    Path { path: PathBuf, reason: String },
    /// The device's memory is full. The message says what fills it and what helps.
    #[error("{0}")]
    DeviceMemory(String),
    /// Settings contradict each other, the model or the run that is resumed.
    #[error("{0}")]
    Usage(String),
    /// Weights are not finite, or the run's own data is unusable.
    #[error("{0}")]
    Data(String),
}

/// Returns whether an error means that the request is wrong, and not that something failed.
pub fn is_wrong_request(error: &(dyn Error + 'static)) -> bool {
    let config = error.downcast_ref::<ConfigError>();
    config.is_some_and(|error| !error.is_on_disk())
        || matches!(error.downcast_ref(), Some(PromptError::Tokenizer(_)))
        || matches!(error.downcast_ref(), Some(DeviceError::Usage(_)))
}

/// Returns the command that resumes the run in `out`, quoted for a shell.
pub(super) fn resume_command(out: &Path) -> String {
    format!("bone train --resume {}", shell::path(out))
}

impl RunError {
    /// Returns 2 for a wrong request, 1 for a failure, and 128 + N for signal N.
    pub fn exit_code(&self) -> u8 {
        let is_request = match self {
            Self::Stopped { signal, .. } => return signal.exit_code(),
            Self::Resumable { source, .. } => return source.exit_code(),
            Self::Usage(_) => true,
            Self::Config(error) => is_wrong_request(error),
            Self::Prompt(error) => is_wrong_request(error),
            Self::Device(error) => is_wrong_request(error),
            _ => false,
        };
        if is_request { 2 } else { 1 }
    }

    /// Returns whether a signal stopped the run.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }

    /// Returns the error that `signal` stopped the run in `out` after `steps` of `total` steps. `unsaved`
    /// says why the last step has no checkpoint.
    pub(super) fn stopped(
        signal: Signal,
        (steps, total): (usize, usize),
        out: &Path,
        unsaved: Option<&str>,
    ) -> Self {
        let line = resume_command(out);
        let newest = || checkpoint::all(out).ok()?.pop();
        let place = match (unsaved, steps) {
            (_, 0) => "stopped before the first step; nothing was trained or changed".to_owned(),
            (None, _) => format!("stopped after step {steps} of {total}; to resume:\n  {line}"),
            (Some(why), _) => {
                let how = newest().map_or(String::new(), |(step, _)| {
                    format!("; to resume at step {step}:\n  {line}")
                });
                format!("stopped after step {steps} of {total}, not saved: {why}{how}")
            }
        };
        Self::Stopped { signal, place }
    }

    /// Adds `hint`, or else the command that resumes the run in `out` from its newest checkpoint, if there
    /// is one.
    pub(super) fn of_run(self, out: &Path, hint: Option<String>) -> Self {
        if self.is_stop() || checkpoint::locate(out).is_err() {
            return self;
        }
        Self::Resumable {
            source: Box::new(self),
            how: hint.unwrap_or_else(|| {
                let line = resume_command(out);
                format!("to resume from the newest checkpoint:\n  {line}")
            }),
        }
    }

    /// Returns a function that turns a system error at `path` into a `RunError`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| at(path)(source).into()
    }

    /// Returns the error that a file or folder blocks the run, is missing or is of the wrong kind.
    pub fn path(path: &Path, reason: impl Into<String>) -> Self {
        Self::Path {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }
}
