use crate::checkpoint;
use crate::config::ConfigError;
use crate::data::{BinidxError, OrderError, RenderError, TemplateError};
use crate::dataset::DatasetError;
use crate::device::DeviceError;
use crate::eval::{QuestionError, ResultsError};
use crate::lock::LockError;
use crate::memory::{MemoryError, WeightsError};
use crate::models::ModelError;
use crate::optimizer::NonFinite;
use crate::shell;
use crate::signals::Signal;
use crate::trainer::TrainError;
use bone_lm::generate::GenerateError;
use bone_lm::sampling::SamplingError;
use bone_lm::tokenizer::TokenizerError;
use std::path::{Path, PathBuf};

/// Why a command failed, in a message for a person.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is another module's error")]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Problems of several data files.
    #[error("{0}")]
    Data(String),
    #[error(transparent)]
    Binidx(#[from] BinidxError),
    #[error(transparent)]
    Question(#[from] QuestionError),
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Attach(#[from] bone::AttachError),
    #[error(transparent)]
    Merge(#[from] bone::MergeError),
    #[error(transparent)]
    Adapter(#[from] bone::FileError),
    #[error(transparent)]
    Values(#[from] bone::ValueError),
    #[error(transparent)]
    Checkpoint(#[from] bone_lm::checkpoint::CheckpointError),
    #[error(transparent)]
    Save(#[from] bone_lm::checkpoint::SaveError),
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    NonFinite(#[from] NonFinite),
    #[error(transparent)]
    RunCheckpoint(#[from] crate::checkpoint::CheckpointError),
    /// A damaged one, and what is to be given besides to go on from another.
    #[error("{source}{arguments}")]
    Offered {
        source: crate::checkpoint::CheckpointError,
        arguments: String,
    },
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A run that was asked to end, and did.
    #[error("{}", stopped(*signal, *steps, *total_steps, out, unsaved.as_ref()))]
    Stopped {
        signal: Signal,
        steps: usize,
        total_steps: usize,
        out: PathBuf,
        /// Why there is no checkpoint of where it ended, if there is none.
        unsaved: Option<Unsaved>,
    },
    /// A run that was asked to end before it did anything.
    #[error("{}", not_begun(*signal, *goes_on))]
    NotBegun {
        signal: Signal,
        /// Whether it goes on from a checkpoint.
        goes_on: bool,
    },
    /// A run that came to an error, and has checkpoints to go on from.
    #[error("{source}; {how}")]
    GoOn {
        source: Box<CommandError>,
        how: String,
    },
    /// What the system says of a file.
    #[error("{}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A folder or file that is in the way or missing.
    #[error("{}: {reason}", path.display())]
    Path { path: PathBuf, reason: String },
    /// The device's memory is full, with what takes it and what helps.
    #[error("{0}")]
    DeviceMemory(String),
    /// Devices that do not compute what the processor computes.
    #[error("{0}")]
    DeviceTrial(String),
    /// What was asked for is contradictory.
    #[error("{0}")]
    Usage(String),
    /// A merged model that does not say what the adapted one says.
    #[error("{0}")]
    Disagreement(String),
}

/// Why a run that was stopped is not saved where it stopped.
#[derive(Debug)]
pub struct Unsaved {
    why: String,
    /// Steps of the newest checkpoint.
    newest: Option<usize>,
}

impl Unsaved {
    /// Of the run in `out`.
    pub(crate) fn new(why: String, out: &Path) -> Self {
        let newest = checkpoint::locate(out).and_then(|at| checkpoint::read_state(&at.folder));
        Self {
            why,
            newest: newest.ok().map(|state| state.progress.steps),
        }
    }
}

fn not_begun(signal: Signal, goes_on: bool) -> String {
    let name = signal.name();
    match goes_on {
        true => {
            format!(
                "{name}: stopped before the run went on; nothing was changed, the same command goes on"
            )
        }
        false => format!("{name}: stopped before the first step; nothing was trained"),
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
    let line = go_on_with(out);
    match unsaved {
        None => {
            format!("{name}: stopped after step {steps} of {total_steps}; go on with\n  {line}")
        }
        Some(Unsaved { why, newest }) => {
            let said =
                format!("{name}: stopped after step {steps} of {total_steps}, not saved: {why}");
            match newest {
                Some(before) => format!("{said}; go on from step {before} with\n  {line}"),
                None => said,
            }
        }
    }
}

fn newest(out: &Path) -> String {
    format!(
        "go on from its newest checkpoint with\n  {}",
        go_on_with(out)
    )
}

/// What a person types to go on with the run in `out`, as a shell reads it.
pub(super) fn go_on_with(path: &Path) -> String {
    format!("bone train --resume {}", shell::path(path))
}

impl CommandError {
    /// 2 for what was asked in the wrong way, 1 for what went wrong.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(error) if error.is_on_disk() => 1,
            Self::Config(_) | Self::Usage(_) | Self::Sampling(_) | Self::Template(_) => 2,
            Self::Device(DeviceError::Name(_)) => 2,
            Self::Stopped { signal, .. } | Self::NotBegun { signal, .. } => signal.exit_code(),
            Self::GoOn { source, .. } => source.exit_code(),
            _ => 1,
        }
    }

    /// With the way to go on, where the run in `out` has a checkpoint: `hint`, or from the newest.
    pub(crate) fn of_run(self, out: &Path, hint: Option<String>) -> Self {
        match checkpoint::locate(out) {
            Ok(_) => Self::GoOn {
                source: Box::new(self),
                how: hint.unwrap_or_else(|| newest(out)),
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
