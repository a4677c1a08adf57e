//! The order of training: which rows make an optimizer step, and when.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::batch::Batch;
use super::sample::Sample;

#[cfg(test)]
mod tests;

/// An epoch is cut into at least so many windows, where it has steps enough: in a single window
/// sorting by length would put the same rows together in every epoch.
const LEAST_WINDOWS: usize = 4;

/// How samples become steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchConfig {
    /// Rows of a micro batch.
    pub batch_size: usize,
    /// Micro batches of an optimizer step.
    pub gradient_accumulation: usize,
    /// Steps within which rows are sorted by length; 1 does not sort across steps. Fewer are
    /// taken where the epoch would have less than four windows.
    pub window: usize,
    /// Seed of the order.
    pub seed: u64,
    /// Token id that fills the right of shorter rows.
    pub pad_id: u32,
}

/// A place in the sequence of steps: the step that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step of the epoch, from 0.
    pub step: u64,
}

/// One optimizer step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Where in the sequence it is.
    pub at: Cursor,
    /// Its micro batches, each padded to its own longest row. Their rows together do not depend
    /// on how the step is split.
    pub micro: Vec<Batch>,
}

impl Step {
    /// Number of targets that are trained, over all micro batches: what the step's loss is
    /// divided by.
    pub fn trained_tokens(&self) -> usize {
        self.micro.iter().map(Batch::trained_tokens).sum()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.micro.iter().map(|batch| batch.rows).sum()
    }
}

/// Settings or a cursor that make no sequence of steps.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Settings that must be at least 1; all are named.
    #[error("{} must be at least 1", .0.join(", "))]
    Zero(Vec<&'static str>),
    /// More rows a step than can be counted.
    #[error("batch_size {0} × gradient_accumulation {1} is too large")]
    TooLarge(usize, usize),
    /// No samples.
    #[error("there are no samples to train on")]
    NoSamples,
    /// A cursor from other data or other settings.
    #[error(
        "step {step} lies beyond an epoch of {steps} steps: \
         the data, batch_size or gradient_accumulation differ from the run that is resumed"
    )]
    Beyond {
        /// The cursor's step.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
    },
}

/// The endless sequence of steps, epoch after epoch.
///
/// Each epoch shuffles the samples by (seed, epoch), sorts by length within windows of steps and
/// shuffles the steps of each window. Every sample comes once an epoch; one step of an epoch may
/// be smaller. The rows of a step depend on `batch_size × gradient_accumulation` only.
#[derive(Debug, Clone)]
pub struct Batches {
    samples: Vec<Sample>,
    config: BatchConfig,
    step_rows: usize,
    next: Cursor,
    plan: Plan,
}

/// The steps of one epoch: ranges of `order`, which indexes the samples.
#[derive(Debug, Clone)]
struct Plan {
    epoch: u64,
    order: Vec<usize>,
    steps: Vec<Range<usize>>,
}

impl Batches {
    /// Starts at the first step of epoch 0.
    ///
    /// # Errors
    /// [`OrderError`]: settings of zero, or no samples.
    pub fn new(samples: Vec<Sample>, config: BatchConfig) -> Result<Self, OrderError> {
        let zero: Vec<_> = [
            ("batch_size", config.batch_size),
            ("gradient_accumulation", config.gradient_accumulation),
            ("window", config.window),
        ]
        .into_iter()
        .filter_map(|(name, value)| (value == 0).then_some(name))
        .collect();
        if !zero.is_empty() {
            return Err(OrderError::Zero(zero));
        }
        let step_rows = config
            .batch_size
            .checked_mul(config.gradient_accumulation)
            .ok_or(OrderError::TooLarge(
                config.batch_size,
                config.gradient_accumulation,
            ))?;
        if samples.is_empty() {
            return Err(OrderError::NoSamples);
        }
        let plan = Plan::new(&samples, step_rows, config, 0);
        Ok(Self {
            samples,
            config,
            step_rows,
            next: Cursor::default(),
            plan,
        })
    }

    /// Optimizer steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.samples.len().div_ceil(self.step_rows) as u64
    }

    /// The samples, in the order in which they were given.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The place of the step that comes next: what a resumed run needs.
    pub fn cursor(&self) -> Cursor {
        self.next
    }

    /// Goes to a place, so that the step there comes next. The end of an epoch is the start of
    /// the following one.
    ///
    /// # Errors
    /// [`OrderError::Beyond`] if an epoch has fewer steps.
    pub fn seek(&mut self, cursor: Cursor) -> Result<(), OrderError> {
        let steps = self.steps_per_epoch();
        if cursor.step > steps {
            return Err(OrderError::Beyond {
                step: cursor.step,
                steps,
            });
        }
        self.next = self.normalised(cursor);
        Ok(())
    }

    /// The next step; there always is one.
    pub fn next_step(&mut self) -> Step {
        let at = self.next;
        if self.plan.epoch != at.epoch {
            self.plan = Plan::new(&self.samples, self.step_rows, self.config, at.epoch);
        }
        let rows = &self.plan.order[self.plan.steps[at.step as usize].clone()];
        let micro = rows
            .chunks(self.config.batch_size)
            .map(|rows| Batch::new(rows.iter().map(|&i| &self.samples[i]), self.config.pad_id))
            .collect();
        self.next = self.normalised(Cursor {
            step: at.step + 1,
            ..at
        });
        Step { at, micro }
    }

    fn normalised(&self, cursor: Cursor) -> Cursor {
        if cursor.step < self.steps_per_epoch() {
            return cursor;
        }
        Cursor {
            epoch: cursor.epoch.wrapping_add(1),
            step: 0,
        }
    }
}

/// Endless: take as many steps as the run has.
impl Iterator for Batches {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        Some(self.next_step())
    }
}

impl Plan {
    fn new(samples: &[Sample], step_rows: usize, config: BatchConfig, epoch: u64) -> Self {
        let mut rng = generator(config.seed, epoch);
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.shuffle(&mut rng);
        let whole_steps = samples.len() / step_rows;
        let window = config.window.min(whole_steps / LEAST_WINDOWS).max(1);
        let mut steps = Vec::with_capacity(samples.len().div_ceil(step_rows));
        let mut start = 0;
        for rows in order.chunks_mut(window.saturating_mul(step_rows)) {
            rows.sort_by_key(|&i| samples[i].tokens.len());
            let end = start + rows.len();
            let first = steps.len();
            while start < end {
                let step_end = end.min(start.saturating_add(step_rows));
                steps.push(start..step_end);
                start = step_end;
            }
            steps[first..].shuffle(&mut rng);
        }
        Self {
            epoch,
            order,
            steps,
        }
    }
}

/// Each epoch has a generator of its own, so that any epoch can be entered directly.
fn generator(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..].copy_from_slice(b"order of batches");
    ChaCha8Rng::from_seed(key)
}
