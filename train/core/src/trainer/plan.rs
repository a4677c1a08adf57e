//! What the loop does, when, and on what.

use super::Progress;
use crate::loss_scale::LossScale;
use crate::schedule::Schedule;
use crate::step::Savings;
use bone_data::{Sample, Step};

/// What the loop does, and when.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Optimizer steps.
    pub total_steps: usize,
    /// Learning rate of each.
    pub schedule: Schedule,
    /// Where memory is saved.
    pub savings: Savings,
    /// Tokens of a sequence that go through the model at once, with the state carried on; `None`
    /// for all of them.
    pub chunk_ctx: Option<usize>,
    /// What dropout masks are drawn from.
    pub seed: u64,
    /// Steps between evaluations.
    pub eval_every: usize,
    /// Rows of an evaluation batch.
    pub eval_batch_size: usize,
    /// Token id that fills shorter rows.
    pub pad_id: u32,
    /// What the loss is scaled by at first where gradients pass through f16.
    pub loss_scale: Option<LossScale>,
    /// Whether the device compiles and tunes kernels for sizes it has not met.
    pub tunes_kernels: bool,
}

impl Plan {
    /// Whether the held-out rows are to be evaluated where a run is: before the first step, at the interval,
    /// after the last, unless that was done.
    pub(super) fn evaluates(&self, progress: &Progress) -> bool {
        let steps = progress.steps;
        let due = steps == progress.begun_at
            || steps == self.total_steps
            || steps.is_multiple_of(self.eval_every);
        due && progress.evaluated != Some(steps)
    }
}

/// What a run learns from.
pub struct Data {
    /// The steps' rows, from the one on that the run goes on with; an endless iterator runs through
    /// epoch after epoch.
    pub steps: Box<dyn Iterator<Item = std::io::Result<Step>>>,
    /// Steps that make an epoch.
    pub steps_per_epoch: u64,
    /// Held-out rows.
    pub validation: Vec<Sample>,
}
