//! The plan and the data of the training loop.

use super::Progress;
use crate::loss_scale::LossScale;
use crate::schedule::Schedule;
use crate::step::Savings;
use bone_data::{Sample, Step};

/// Schedule and parameters of the loop.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Number of optimizer steps.
    pub total_steps: usize,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// Enabled memory savings.
    pub savings: Savings,
    /// Tokens of a sequence that pass through the model at once; the state is carried over. `None` for the
    /// whole sequence.
    pub chunk_ctx: Option<usize>,
    /// Seed of the dropout masks.
    pub seed: u64,
    /// Steps between evaluations.
    pub eval_every: usize,
    /// Rows in an evaluation batch.
    pub eval_batch_size: usize,
    /// Token id that fills shorter rows.
    pub pad_id: u32,
    /// Initial loss scale, where gradients pass through f16.
    pub loss_scale: Option<LossScale>,
    /// Whether the device compiles and tunes kernels for new sizes.
    pub tunes_kernels: bool,
}

impl Plan {
    /// Returns whether an evaluation of the held-out rows is due: before the first step, at the interval,
    /// or after the last step. False if it was already done.
    pub(super) fn evaluates(&self, progress: &Progress) -> bool {
        let steps = progress.steps;
        let due = steps == progress.begun_at
            || steps == self.total_steps
            || steps.is_multiple_of(self.eval_every);
        due && progress.evaluated != Some(steps)
    }
}

/// Training and validation data.
pub struct Data {
    /// Rows of each step, from the next step on. An endless iterator gives epoch after epoch.
    pub steps: Box<dyn Iterator<Item = std::io::Result<Step>>>,
    /// Steps per epoch.
    pub steps_per_epoch: u64,
    /// Held-out rows.
    pub validation: Vec<Sample>,
}
