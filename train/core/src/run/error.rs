//! Why a run fails, and how it is resumed.

use super::checkpoint::{self, CheckpointError};
use super::lock::LockError;
use super::shell;
use super::signals::Signal;
use crate::config::ConfigError;
use crate::device::DeviceError;
use crate::memory::MemoryError;
use crate::models::ModelError;
use crate::trainer::TrainError;
use bone_data::{DataError, PromptError};
use bone_tokenizer::TokenizerError;
use std::path::{Path, PathBuf};

/// Why a run failed, in a message for a person.
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
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A signal stopped the run.
    #[error("{}", stopped(*signal, *steps, *total_steps, out, unsaved.as_ref()))]
    Stopped {
        signal: Signal,
        /// Steps done.
        steps: usize,
        total_steps: usize,
        out: PathBuf,
        /// Why there is no checkpoint of the step it stopped at.
        unsaved: Option<Unsaved>,
    },
    /// A signal stopped the run before it trained or changed anything.
    #[error("{}: stopped before the first step; nothing was trained or changed", signal.name())]
    NotBegun { signal: Signal },
    /// The run failed and can be resumed.
    #[error("{source}; {how}")]
    Resumable {
        source: Box<RunError>,
        /// The command to type.
        how: String,
    },
    /// The system cannot read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A folder or file is in the way or missing.
    #[error("{}: {reason}", path.display())]
    Path { path: PathBuf, reason: String },
    /// The device's memory is full: what fills it and what helps.
    #[error("{0}")]
    DeviceMemory(String),
    /// Settings contradict each other, the model or the run that is resumed.
    #[error("{0}")]
    Usage(String),
    /// Weights are not finite, or the run's own data is unusable.
    #[error("{0}")]
    Data(String),
}

/// Why a stopped run has no checkpoint of its last step.
#[derive(Debug)]
pub struct Unsaved {
    why: String,
    /// Steps of the newest checkpoint.
    newest: Option<usize>,
}

impl Unsaved {
    /// Returns `why` together with the newest checkpoint of the run in `out`.
    pub(super) fn new(why: String, out: &Path) -> Self {
        let newest = checkpoint::locate(out).and_then(|at| checkpoint::read_state(&at.folder));
        Self {
            why,
            newest: newest.ok().map(|state| state.progress.steps),
        }
    }
}

fn stopped(
    signal: Signal,
    steps: usize,
    total_steps: usize,
    out: &Path,
    unsaved: Option<&Unsaved>,
) -> String {
    let name = signal.name();
    let line = resume_command(out);
    let said = format!("{name}: stopped after step {steps} of {total_steps}");
    match unsaved {
        None => format!("{said}; resume with\n  {line}"),
        Some(Unsaved { why, newest }) => match newest {
            Some(before) => {
                format!("{said}, not saved: {why}; resume at step {before} with\n  {line}")
            }
            None => format!("{said}, not saved: {why}"),
        },
    }
}

/// Returns the command that resumes the run in `out`, quoted for a shell.
pub(super) fn resume_command(out: &Path) -> String {
    format!("bone train --resume {}", shell::path(out))
}

impl RunError {
    /// Returns 2 for a wrong request, 1 for a failure, and 128 + N for signal N.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(error) if error.is_on_disk() => 1,
            Self::Config(_) | Self::Usage(_) | Self::Prompt(PromptError::Tokenizer(_)) => 2,
            Self::Device(DeviceError::Usage(_)) => 2,
            Self::Stopped { signal, .. } | Self::NotBegun { signal, .. } => signal.exit_code(),
            Self::Resumable { source, .. } => source.exit_code(),
            _ => 1,
        }
    }

    /// Returns whether a signal stopped the run.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped { .. } | Self::NotBegun { .. })
    }

    /// Adds how to resume the run in `out`, if it has a checkpoint: `hint`, or from the newest.
    pub(super) fn of_run(self, out: &Path, hint: Option<String>) -> Self {
        match checkpoint::locate(out) {
            Ok(_) => Self::Resumable {
                source: Box::new(self),
                how: hint.unwrap_or_else(|| {
                    let line = resume_command(out);
                    format!("resume from the newest checkpoint with\n  {line}")
                }),
            },
            Err(_) => self,
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }
}
