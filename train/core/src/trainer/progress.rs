//! How far a run is.

use crate::loss_scale::LossScale;
use bone_data::Cursor;
use serde::{Deserialize, Serialize};

/// Losses that a new one is compared with.
const RECENT: usize = 32;
/// Fewer of them say nothing.
const ENOUGH: usize = 16;
/// A loss so many times the median of those before, and more, is a spike.
const SPIKE: f64 = 1.5;
/// And so many times as far from it as half of those before are.
const DEVIATIONS: f64 = 6.0;

/// How far a run is: all that it needs to go on, beside the model, the optimizer and the data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Optimizer steps done, those that changed nothing among them.
    pub steps: usize,
    /// Steps that were done when the run began: those of the checkpoint it was forked from.
    #[serde(default)]
    pub begun_at: usize,
    /// The step of the data that comes next.
    pub next: Cursor,
    /// What the loss is scaled by where gradients pass through f16.
    pub loss_scale: Option<LossScale>,
    /// The step after which the held-out rows were last evaluated; `None` before the first.
    pub evaluated: Option<usize>,
    /// Held-out loss before the first step; `None` without held-out rows.
    pub first_validation: Option<f64>,
    /// Held-out loss when it was last evaluated.
    pub last_validation: Option<f64>,
    /// The lowest after a step.
    pub best: Option<Best>,
    /// Mean training loss of the last step that changed something.
    pub last_loss: Option<f64>,
    /// Tokens that were trained.
    pub tokens: usize,
    /// Tokens that went through the model in training.
    pub tokens_processed: usize,
    /// Steps whose loss or gradients were not finite and that changed nothing.
    pub skipped: usize,
    /// Those of them that were the last ones, one after the other.
    pub skipped_in_a_row: usize,
    /// Losses of the last steps.
    pub recent: Vec<f64>,
}

/// An evaluation that no other was below.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The steps done before it.
    pub step: usize,
    /// The held-out loss.
    pub loss: f64,
}

impl Progress {
    /// A run that has not begun.
    pub fn new(loss_scale: Option<LossScale>) -> Self {
        Self {
            loss_scale,
            ..Self::default()
        }
    }

    /// Returns the progress of a new run that begins here, at `next` in its own data. What was counted
    /// or evaluated before is the other run's.
    pub(crate) fn forked(&self, next: Cursor, loss_scale: Option<LossScale>) -> Self {
        Self {
            steps: self.steps,
            begun_at: self.steps,
            next,
            loss_scale: loss_scale.and(self.loss_scale.or(loss_scale)),
            last_loss: self.last_loss,
            recent: self.recent.clone(),
            ..Self::default()
        }
    }

    /// Takes the loss of a step that was taken; what the median of those before is, if this is a spike
    /// above it.
    pub(super) fn took(&mut self, loss: f64) -> Option<f64> {
        let spike = spike(&self.recent, loss);
        self.last_loss = Some(loss);
        self.skipped_in_a_row = 0;
        self.recent.push(loss);
        let over = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..over);
        spike
    }

    /// The evaluation after the steps done, if there was one, whatever it came to.
    pub(crate) fn evaluation(&self) -> Option<Best> {
        let step = self.steps;
        let loss = self
            .last_validation
            .filter(|_| self.evaluated == Some(step))?;
        Some(Best { step, loss })
    }

    /// Takes an evaluation after the steps done; whether it is the lowest after a step so far.
    pub(super) fn evaluated(&mut self, loss: f64) -> bool {
        self.evaluated = Some(self.steps);
        self.last_validation = Some(loss);
        if self.steps == self.begun_at {
            self.first_validation = Some(loss);
            return false;
        }
        let is_best = loss.is_finite() && self.best.is_none_or(|best| loss < best.loss);
        if is_best {
            let step = self.steps;
            self.best = Some(Best { step, loss });
        }
        is_best
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the losses before, if `loss` is far above it.
fn spike(before: &[f64], loss: f64) -> Option<f64> {
    if before.len() < ENOUGH {
        return None;
    }
    let middle = median(before.iter().copied());
    let deviation = median(before.iter().map(|loss| (loss - middle).abs()));
    let far = loss > SPIKE * middle && loss - middle > DEVIATIONS * deviation;
    far.then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_is_far_above_what_was_before() {
        let mut progress = Progress::default();
        for n in 0..100 {
            let loss = 3.0 - 0.01 * f64::from(n) + 0.3 * f64::from(n % 3);
            assert_eq!(progress.took(loss), None, "{n}");
        }
        assert_eq!(progress.recent.len(), RECENT);
        assert!(progress.took(9.0).is_some_and(|median| median < 3.0));
        // One alone does not make the next one look high.
        assert_eq!(progress.took(2.5), None);
        // Nothing is known in the beginning.
        let mut young = Progress::default();
        assert_eq!((young.took(1.0), young.took(100.0)), (None, None));
    }

    #[test]
    fn the_best_is_the_lowest_after_a_step() {
        let mut progress = Progress::default();
        assert!(!progress.evaluated(1.0));
        assert_eq!(progress.first_validation, Some(1.0));
        progress.steps = 5;
        assert!(progress.evaluated(3.0));
        progress.steps = 10;
        assert!(!progress.evaluated(3.5));
        assert!(!progress.evaluated(f64::NAN));
        assert!(!progress.evaluated(3.5));
        assert_eq!(progress.best, Some(Best { step: 5, loss: 3.0 }));
        assert_eq!(
            (progress.evaluated, progress.last_validation),
            (Some(10), Some(3.5))
        );
    }
}
