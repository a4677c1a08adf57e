//! The settings of a training run: the table of settings (`settings.rs`) and the code derived from it.
//!
//! [`RawConfig`] holds the given settings: from a TOML file, from `--set` or from flags. Flags override
//! `--set`, which overrides the file. [`TrainConfig`] is validated, and every default is filled in. Both
//! stages collect every problem before they fail. A setting that does not apply to the chosen method is an
//! error, never ignored.

use bone_data::Schema;
use bone_lm::Part;

use crate::schedule::Schedule;

mod error;
mod inherit;
mod method;
mod read;
mod settings;
#[cfg(test)]
mod tests;
mod validate;
mod value;
mod words;
mod write;

pub use crate::device::DtypeChoice;
pub use error::{ConfigError, Problem};
pub use inherit::resolve_over;
pub use read::{Given, resolve, resolve_method};
pub use settings::Row;
pub use settings::{RawConfig, SETTINGS, TrainConfig};
pub(crate) use words::joined;
pub use words::{AxisWord, Init, MethodName};

/// Memory of a chunk of logits in bytes, if `head_chunk` is not given.
const CHUNK_BYTES: usize = 64 << 20;

impl TrainConfig {
    /// Returns the rows' fields; `None` if they are to be detected from the rows.
    pub fn schema(&self) -> Option<Schema> {
        let own = self.field_map.clone().map(Schema::Fields);
        own.or_else(|| self.schema.clone())
    }

    /// Returns the parts that train in full beside adapters: sorted, without duplicates.
    pub fn parts(&self) -> &[Part] {
        self.train_parts.as_deref().unwrap_or_default()
    }

    /// Returns the optimizer steps of the run, at least 1: `max_steps`, or `epochs` of `steps_per_epoch`
    /// steps plus `ahead`.
    pub fn total_steps(&self, steps_per_epoch: u64, ahead: i64) -> usize {
        let of_epochs = self.epochs.map(|epochs| {
            let steps = epochs * steps_per_epoch as f64;
            // In floating point 0.1 × 30 is slightly more than 3, but 3 is meant.
            let steps = (steps * (1.0 - 1e-12)).ceil() as u64;
            usize::try_from(steps.saturating_add_signed(ahead)).unwrap_or(usize::MAX)
        });
        let shorter = of_epochs.into_iter().chain(self.max_steps).min();
        shorter.unwrap_or(1).max(1)
    }

    /// Returns the learning rate of every step of a run of `total_steps` steps.
    pub fn schedule(&self, total_steps: usize) -> Schedule {
        Schedule {
            kind: self.schedule,
            base_lr: self.learning_rate,
            warmup_steps: match self.warmup_ratio {
                Some(ratio) => (total_steps as f64 * ratio).ceil() as usize,
                None => self.warmup_steps,
            },
            total_steps,
        }
    }

    /// Checks that a run of `total_steps` steps has a step after its warm-up. Otherwise it never reaches
    /// the learning rate; a run of one step would only use the rate 0.
    ///
    /// # Errors
    /// A message with both numbers and the advice.
    pub fn check_warmup(&self, total_steps: usize) -> Result<(), String> {
        let warmup = self.schedule(total_steps).warmup_steps;
        if warmup == 0 || warmup < total_steps {
            return Ok(());
        }
        let key = self.warmup_ratio.map_or("warmup_steps", |_| "warmup_ratio");
        Err(format!(
            "the warm-up of {warmup} step(s) must be shorter than the run of {total_steps} step(s); lower \
             {key} or remove it, or train for more steps"
        ))
    }

    /// Returns the steps between evaluations of a run of `total_steps` steps: the given number, or else a
    /// tenth of the run. The tenth gives at least ten evaluations if there are ten steps.
    pub fn eval_interval(&self, total_steps: usize) -> usize {
        self.eval_every.unwrap_or((total_steps / 10).max(1))
    }

    /// Returns the tokens per chunk of the head for `vocab_size` entries. The default is the largest power
    /// of two whose f32 logits take at most 64 MiB, at least 512. Products of fewer rows spend most of
    /// their time reading the head's weight.
    pub fn head_chunk_for(&self, vocab_size: usize) -> usize {
        let fit = CHUNK_BYTES / 4 / vocab_size.max(1);
        self.head_chunk.unwrap_or(1 << fit.max(512).ilog2())
    }
}
