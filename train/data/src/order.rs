//! The order of training: the rows of each optimizer step.

use bone_files::wording::{counted, joined};
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

/// How to form steps from samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchConfig {
    /// Rows per micro-batch.
    pub batch_size: usize,
    /// Micro-batches per optimizer step.
    pub gradient_accumulation: usize,
    /// Number of steps whose rows are sorted by length together; 1 does not sort across steps. It is
    /// reduced if the epoch has fewer than four windows.
    pub window: usize,
    /// Seed of the order.
    pub seed: u64,
    /// Token id that pads shorter rows on the right.
    pub pad_id: u32,
    /// Maximum length of a row into which samples are packed; `None` gives every sample a separate row.
    pub packing: Option<usize>,
    /// Minimum length that rows are padded to. With 0, rows are padded to the longest of their batch.
    pub row_len: usize,
}

/// Samples that are used equally often.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Their numbers, ascending.
    pub samples: Vec<u32>,
    /// How often each sample is used in an epoch. With 0.5 every epoch uses another half of them.
    pub weight: f64,
}

/// A position in the sequence of steps: the next step.
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
    /// Its position in the sequence.
    pub at: Cursor,
    /// Its micro-batches, each padded to its own longest row. How the step is split does not change its set
    /// of rows.
    pub micro: Vec<Batch>,
}

impl Step {
    /// Returns the number of trained targets in all micro-batches. The step's loss is divided by it.
    pub fn trained_tokens(&self) -> usize {
        self.micro.iter().map(Batch::trained_tokens).sum()
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.micro.iter().map(|batch| batch.rows).sum()
    }
}

/// Returns why pools give no step.
fn nothing(pools: &[Pool]) -> DataError {
    let there: Vec<_> = pools
        .iter()
        .filter(|pool| !pool.samples.is_empty())
        .collect();
    let mut what = "there are no samples to train on".to_owned();
    if !there.is_empty() {
        let weights: Vec<_> = there.iter().map(|pool| pool.weight.to_string()).collect();
        what = format!(
            "{what}: the weights of the files ({}) select none of {} samples per epoch; raise or remove \
             them",
            joined(weights, ", "),
            there.iter().map(|pool| pool.samples.len()).sum::<usize>()
        );
    }
    DataError::Other(what)
}

/// The endless sequence of steps, epoch after epoch.
///
/// Each epoch shuffles the samples by (seed, epoch), sorts them by length within windows of steps, and
/// shuffles the steps of each window. Every sample is used as often as its pool's weight says. One step of
/// an epoch may be smaller. The rows of a step depend only on `batch_size × gradient_accumulation`.
///
/// With packing, samples are first packed into rows: those of a window by first fit, longest first. The
/// number of rows, and so of steps per epoch, varies slightly.
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
    /// If a sample number does not exist.
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

    /// Returns the optimizer steps of an epoch; with packing, of the next epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.plan.steps() as u64
    }

    /// Returns a line about how well packing fills the rows of the next epoch.
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

    /// Returns a batch as large as any possible batch: every row is as long as the longest.
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
        // One padding token between two samples.
        let in_a_row = self.config.packing.map_or(1, |room| (room + 1) / (len + 1));
        let row = vec![sample; in_a_row.max(1)];
        let rows = vec![row; self.config.batch_size];
        Ok(Some(Batch::packed(
            &rows,
            self.config.row_len,
            self.config.pad_id,
        )))
    }

    /// Returns the position of the next step, which a resumed run needs.
    pub fn cursor(&self) -> Cursor {
        self.next
    }

    /// Moves to a position, so that its step comes next. The end of an epoch equals the start of the
    /// following one.
    ///
    /// # Errors
    /// [`DataError`] if the epoch has fewer steps.
    pub fn seek(&mut self, cursor: Cursor) -> Result<(), DataError> {
        self.enter(cursor.epoch);
        let steps = self.steps_per_epoch();
        if cursor.step > steps {
            return Err(DataError::Other(format!(
                "step {} is beyond an epoch of {steps} steps: the data, batch_size or gradient_accumulation \
                 differ from the run being resumed",
                cursor.step
            )));
        }
        self.next = cursor;
        self.leave_ended();
        Ok(())
    }

    /// Returns the next step. The sequence is endless.
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

    /// Moves from the end of an epoch to the start of the next.
    fn leave_ended(&mut self) {
        if self.next.step >= self.steps_per_epoch() {
            self.next = Cursor {
                epoch: self.next.epoch.wrapping_add(1),
                step: 0,
            };
        }
    }
}

/// Endless: take the number of steps that the run needs.
impl Iterator for Batches {
    type Item = io::Result<Step>;

    fn next(&mut self) -> Option<io::Result<Step>> {
        Some(self.next_step())
    }
}
