//! Progress of a run.

use crate::loss_scale::LossScale;
use bone_data::Cursor;
use serde::{Deserialize, Serialize};

/// Number of recent losses that a new loss is compared with.
const RECENT: usize = 32;
/// Smallest number of recent losses that allows a comparison.
const ENOUGH: usize = 16;
/// A spike is more than this many times the median of the recent losses.
const SPIKE: f64 = 1.5;
/// A spike is also more than this many median absolute deviations above the median.
const DEVIATIONS: f64 = 6.0;

/// Progress of a run: everything that a resume needs besides the model, the optimizer and the data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Optimizer steps done, including skipped ones.
    pub steps: usize,
    /// Steps of the checkpoint that the run was forked from.
    #[serde(default)]
    pub begun_at: usize,
    /// The next step in the data.
    pub next: Cursor,
    /// Current loss scale, where gradients pass through f16.
    pub loss_scale: Option<LossScale>,
    /// The step after which the held-out rows were last evaluated; `None` before the first.
    pub evaluated: Option<usize>,
    /// Held-out loss before the first step; `None` without held-out rows.
    pub first_validation: Option<f64>,
    /// Held-out loss of the last evaluation.
    pub last_validation: Option<f64>,
    /// Lowest held-out loss after a step.
    pub best: Option<Best>,
    /// Mean training loss of the last step that was not skipped.
    pub last_loss: Option<f64>,
    /// Tokens trained on.
    pub tokens: usize,
    /// Tokens that passed through the model in training.
    pub tokens_processed: usize,
    /// Skipped steps: their loss or gradients were not finite, and they changed nothing.
    pub skipped: usize,
    /// Consecutive skipped steps up to now.
    pub skipped_in_a_row: usize,
    /// Losses of the last steps.
    pub recent: Vec<f64>,
}

/// The evaluation with the lowest loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Steps done before the evaluation.
    pub step: usize,
    /// The held-out loss.
    pub loss: f64,
}

impl Progress {
    /// Returns the progress of a run that has not started.
    pub fn new(loss_scale: Option<LossScale>) -> Self {
        Self {
            loss_scale,
            ..Self::default()
        }
    }

    /// Returns the progress of a new run forked here, at `next` in its own data. Earlier counts and
    /// evaluations belong to the old run and are reset.
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

    /// Records the loss of a step. Returns the median of the recent losses if this loss is a spike.
    pub(super) fn took(&mut self, loss: f64) -> Option<f64> {
        let spike = spike(&self.recent, loss);
        self.last_loss = Some(loss);
        self.skipped_in_a_row = 0;
        self.recent.push(loss);
        let over = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..over);
        spike
    }

    /// Returns the evaluation after the last step, if there was one.
    pub(crate) fn evaluation(&self) -> Option<Best> {
        let step = self.steps;
        let loss = self
            .last_validation
            .filter(|_| self.evaluated == Some(step))?;
        Some(Best { step, loss })
    }

    /// Records an evaluation after the last step. Returns whether its loss is the lowest so far after a
    /// step.
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

/// Returns the median of the earlier losses if `loss` is far above it.
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
    fn loss_spike_is_detected_against_median() {
        let mut progress = Progress::default();
        for n in 0..100 {
            let loss = 3.0 - 0.01 * f64::from(n) + 0.3 * f64::from(n % 3);
            assert_eq!(progress.took(loss), None, "{n}");
        }
        assert_eq!(progress.recent.len(), RECENT);
        assert!(progress.took(9.0).is_some_and(|median| median < 3.0));
        // A normal loss after one spike is not a spike.
        assert_eq!(progress.took(2.5), None);
        // At the start there are too few losses to compare.
        let mut young = Progress::default();
        assert_eq!((young.took(1.0), young.took(100.0)), (None, None));
    }

    #[test]
    fn best_validation_is_lowest_after_first_step() {
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
