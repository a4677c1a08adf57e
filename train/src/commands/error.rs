use crate::config::ConfigError;
use crate::data::{BinidxError, OrderError, RenderError, TemplateError};
use crate::dataset::DatasetError;
use crate::device::DeviceError;
use crate::eval::{QuestionError, ResultsError};
use crate::lock::LockError;
use crate::memory::{MemoryError, WeightsError};
use crate::models::ModelError;
use crate::optimizer::NonFinite;
use crate::signals::Signal;
use crate::trainer::TrainError;
use bone_lm::generate::GenerateError;
use bone_lm::sampling::SamplingError;
use bone_lm::tokenizer::TokenizerError;
use std::path::PathBuf;

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
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A run that was asked to end, and did.
    #[error("{}", stopped(*signal, *steps, *total_steps, out, *saved))]
    Stopped {
        signal: Signal,
        steps: usize,
        total_steps: usize,
        out: PathBuf,
        /// Whether there is a checkpoint to go on from.
        saved: bool,
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

fn stopped(
    signal: Signal,
    steps: usize,
    total_steps: usize,
    out: &std::path::Path,
    saved: bool,
) -> String {
    let name = signal.name();
    match saved {
        true => format!(
            "{name}: stopped after step {steps} of {total_steps}; go on with\n  bone train --resume {}",
            out.display()
        ),
        false => format!("{name}: stopped before the first step; nothing was trained"),
    }
}

impl CommandError {
    /// 2 for what was asked in the wrong way, 1 for what went wrong.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(error) if error.is_on_disk() => 1,
            Self::Config(_) | Self::Usage(_) | Self::Sampling(_) | Self::Template(_) => 2,
            Self::Device(DeviceError::Name(_)) => 2,
            Self::Stopped { signal, .. } => signal.exit_code(),
            _ => 1,
        }
    }

    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |error| Self::Path {
            path: path.to_path_buf(),
            reason: error.to_string(),
        }
    }
}
