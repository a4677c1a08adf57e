//! The order of training: which rows make an optimizer step, and when.

use bone_files::wording::counted;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::sample::{Sample, Samples};
use crate::DataError;
use plan::Plan;

mod plan;
#[cfg(test)]
mod tests;

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
    /// Longest row into which samples are packed one after the other; `None` gives every sample
    /// a row of its own.
    pub packing: Option<usize>,
    /// Rows are padded to so many tokens at least; with 0 to the longest of their batch.
    pub row_len: usize,
}

/// Samples that are taken equally often.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Their numbers, ascending.
    pub samples: Vec<u32>,
    /// How often each is taken in an epoch. With 0.5 every epoch takes another half of them.
    pub weight: f64,
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

/// Why pools give no step.
fn nothing(pools: &[Pool]) -> DataError {
    let there: Vec<_> = pools
        .iter()
        .filter(|pool| !pool.samples.is_empty())
        .collect();
    let mut what = "there are no samples to train on".to_owned();
    if !there.is_empty() {
        let weights: Vec<_> = there.iter().map(|pool| pool.weight.to_string()).collect();
        what = format!(
            "{what}: of {}, the weights ({}) take none an epoch; raise them, or leave them out",
            there.iter().map(|pool| pool.samples.len()).sum::<usize>(),
            weights.join(", ")
        );
    }
    DataError::Other(what)
}

/// The endless sequence of steps, epoch after epoch.
///
/// Each epoch shuffles the samples by (seed, epoch), sorts by length within windows of steps and
/// shuffles the steps of each window. Every sample comes as often as its pool's weight says; one
/// step of an epoch may be smaller. The rows of a step depend on
/// `batch_size × gradient_accumulation` only.
///
/// With packing, samples are put into rows first: those of a window by first fit, longest
/// first. How many rows that makes, and so the steps of an epoch, varies a little.
#[derive(Debug, Clone)]
pub struct Batches {
    samples: Arc<Samples>,
    pools: Arc<[Pool]>,
    config: BatchConfig,
    step_rows: usize,
    next: Cursor,
    plan: Plan,
}

impl Batches {
    /// Starts at the first step of epoch 0.
    ///
    /// # Errors
    /// [`DataError`]: settings of zero, or no samples.
    ///
    /// # Panics
    /// On a sample number that there is not.
    pub fn new(
        samples: Arc<Samples>,
        pools: Vec<Pool>,
        config: BatchConfig,
    ) -> Result<Self, DataError> {
        let zero: Vec<_> = [
            ("batch_size", config.batch_size),
            ("gradient_accumulation", config.gradient_accumulation),
            ("window", config.window),
        ]
        .into_iter()
        .filter_map(|(name, value)| (value == 0).then_some(name))
        .collect();
        if !zero.is_empty() {
            let what = format!("{} must be at least 1", zero.join(", "));
            return Err(DataError::Other(what));
        }
        let (rows, times) = (config.batch_size, config.gradient_accumulation);
        let Some(step_rows) = rows.checked_mul(times) else {
            return Err(DataError::Other(format!(
                "batch_size {rows} × gradient_accumulation {times} is too large"
            )));
        };
        let pools: Arc<[Pool]> = pools.into();
        let plan = Plan::new(&samples, &pools, step_rows, config, 0);
        if plan.steps() == 0 {
            return Err(nothing(&pools));
        }
        Ok(Self {
            samples,
            pools,
            config,
            step_rows,
            next: Cursor::default(),
            plan,
        })
    }

    /// Optimizer steps of an epoch; of one with packing, those of the epoch that comes next.
    pub fn steps_per_epoch(&self) -> u64 {
        self.plan.steps() as u64
    }

    /// Returns how well packing fills the rows of the epoch that comes next, in a line.
    pub fn packing(&self) -> String {
        let samples = self.plan.samples();
        let tokens: usize = samples.iter().map(|n| self.samples.tokens_of(*n)).sum();
        let (rows, row_len) = (self.plan.rows(), self.config.packing.unwrap_or(0));
        let full = 100.0 * tokens as f64 / (rows * row_len).max(1) as f64;
        format!(
            "packed: {} in {} of up to {row_len} tokens, {full:.1} % full",
            counted(samples.len(), "sample"),
            counted(rows, "row")
        )
    }

    /// A batch as large as any that can come: every row is as long as the longest.
    ///
    /// # Errors
    /// Samples in a temporary file cannot be read.
    pub fn largest(&self) -> io::Result<Option<Batch>> {
        let samples = self.pools.iter().flat_map(|pool| pool.samples.iter());
        let longest = samples.max_by_key(|number| self.samples.tokens_of(**number));
        let Some(&number) = longest else {
            return Ok(None);
        };
        let sample = self.samples.read(number)?;
        let len = sample.tokens.len();
        // With a token of padding between two.
        let in_a_row = self.config.packing.map_or(1, |room| (room + 1) / (len + 1));
        let row = vec![sample; in_a_row.max(1)];
        let rows = vec![row; self.config.batch_size];
        Ok(Some(Batch::packed(
            &rows,
            self.config.row_len,
            self.config.pad_id,
        )))
    }

    /// The place of the step that comes next: what a resumed run needs.
    pub fn cursor(&self) -> Cursor {
        self.next
    }

    /// Goes to a place, so that the step there comes next. The end of an epoch is the start of
    /// the following one.
    ///
    /// # Errors
    /// [`DataError`] if the epoch has fewer steps.
    pub fn seek(&mut self, cursor: Cursor) -> Result<(), DataError> {
        self.enter(cursor.epoch);
        let steps = self.steps_per_epoch();
        if cursor.step > steps {
            return Err(DataError::Other(format!(
                "step {} lies beyond an epoch of {steps} steps: the data, batch_size or \
                 gradient_accumulation differ from the run that is resumed",
                cursor.step
            )));
        }
        self.next = cursor;
        self.leave_ended();
        Ok(())
    }

    /// The next step; there always is one.
    ///
    /// # Errors
    /// Samples in a temporary file cannot be read.
    pub fn next_step(&mut self) -> io::Result<Step> {
        let at = self.next;
        self.enter(at.epoch);
        let rows = self.plan.step(at.step as usize);
        let read = |row: &[u32]| -> io::Result<Vec<Sample>> {
            row.iter()
                .map(|number| self.samples.read(*number))
                .collect()
        };
        let rows = rows.into_iter().map(read).collect::<io::Result<Vec<_>>>()?;
        let micro = rows
            .chunks(self.config.batch_size)
            .map(|rows| Batch::packed(rows, self.config.row_len, self.config.pad_id))
            .collect();
        self.next.step += 1;
        self.leave_ended();
        Ok(Step { at, micro })
    }

    fn enter(&mut self, epoch: u64) {
        if self.plan.epoch != epoch {
            let (pools, rows) = (&self.pools, self.step_rows);
            self.plan = Plan::new(&self.samples, pools, rows, self.config, epoch);
        }
    }

    /// The end of an epoch is the start of the next.
    fn leave_ended(&mut self) {
        if self.next.step >= self.steps_per_epoch() {
            self.next = Cursor {
                epoch: self.next.epoch.wrapping_add(1),
                step: 0,
            };
        }
    }
}

/// Endless: take as many steps as the run has.
impl Iterator for Batches {
    type Item = io::Result<Step>;

    fn next(&mut self) -> Option<io::Result<Step>> {
        Some(self.next_step())
    }
}
