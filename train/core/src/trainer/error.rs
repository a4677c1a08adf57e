//! Errors that stop the training loop early.

use crate::optimizer::NonFinite;
use crate::report::ReportError;
use bone_data::joined;

/// Consecutive steps with non-finite numbers that a run may skip.
pub(crate) const MOST_SKIPPED: usize = 3;

/// Reason why the loop stopped early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Too many consecutive steps gave non-finite numbers.
    #[error(
        "the loss or gradients of step {step} and the {} steps before it are not finite (rows {}): \
         {source}",
        MOST_SKIPPED - 1, joined(rows, ", ")
    )]
    NonFinite {
        /// The last of these steps, counted from 1.
        step: usize,
        /// Row numbers of the last skipped step.
        rows: Vec<u64>,
        /// The numbers of that step.
        source: NonFinite,
    },
    /// Every step was skipped.
    #[error(
        "the gradients of all {skipped} steps overflowed f16, so nothing was trained. Use dtype bf16 or \
         f32, or more steps: each overflow lowers the loss scale"
    )]
    NothingTrained {
        /// Number of steps in the run.
        skipped: usize,
    },
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The result could not be saved.
    #[error("{0}")]
    Save(String),
    /// Stored rows cannot be read again.
    #[error("step {step}: cannot read the temporary file of tokens: {source}")]
    Data {
        /// The step, counted from 1.
        step: usize,
        /// The system's error.
        source: std::io::Error,
    },
}
