//! The settings of a training run: a table (`settings.rs`), and what is made of it.
//!
//! [`RawConfig`] holds what was given, in a TOML file, with `--set` or with flags (flags win over
//! `--set`, which wins over the file). [`TrainConfig`] is validated and has every default filled.
//! Both stages collect every problem before they fail. A setting that means nothing to the chosen
//! method is a problem too, never ignored.

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

/// Memory that a chunk of logits takes, where `head_chunk` is not given.
const CHUNK_BYTES: usize = 64 << 20;

impl TrainConfig {
    /// Returns the rows' fields; `None` to find them from the rows.
    pub fn schema(&self) -> Option<Schema> {
        let own = self.field_map.clone().map(Schema::Fields);
        own.or_else(|| self.schema.clone())
    }

    /// Returns what trains whole beside adapters, in order, each once.
    pub fn parts(&self) -> &[Part] {
        self.train_parts.as_deref().unwrap_or_default()
    }

    /// Returns the optimizer steps of the run, at least 1: `max_steps`, or `epochs` of
    /// `steps_per_epoch` steps, `ahead` more than those of its data.
    pub fn total_steps(&self, steps_per_epoch: u64, ahead: i64) -> usize {
        let of_epochs = self.epochs.map(|epochs| {
            let steps = epochs * steps_per_epoch as f64;
            // 0.1 × 30 is a little more than 3 in floating point and means 3.
            let steps = (steps * (1.0 - 1e-12)).ceil() as u64;
            usize::try_from(steps.saturating_add_signed(ahead)).unwrap_or(usize::MAX)
        });
        let shorter = of_epochs.into_iter().chain(self.max_steps).min();
        shorter.unwrap_or(1).max(1)
    }

    /// The learning rate of every step of a run of `total_steps`.
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

    /// Whether a run of `total_steps` has a step after its warm-up, so that it reaches the learning
    /// rate; a run of one step would otherwise have the rate 0 only.
    ///
    /// # Errors
    /// A message with both numbers and what to do.
    pub fn check_warmup(&self, total_steps: usize) -> Result<(), String> {
        let warmup = self.schedule(total_steps).warmup_steps;
        if warmup == 0 || warmup < total_steps {
            return Ok(());
        }
        let key = self.warmup_ratio.map_or("warmup_steps", |_| "warmup_ratio");
        Err(format!(
            "a warm-up of {warmup} step(s) leaves nothing of a run of {total_steps} step(s), so \
             that learning_rate would never be reached; lower {key} or leave it out, or train for \
             more steps"
        ))
    }

    /// Steps between evaluations of a run of `total_steps`: what was set, else a tenth of the
    /// run, so that there are at least ten where there are ten steps.
    pub fn eval_interval(&self, total_steps: usize) -> usize {
        self.eval_every.unwrap_or((total_steps / 10).max(1))
    }

    /// Tokens of a chunk of the head over `vocab_size` entries: what was set, else the largest
    /// power of two whose f32 logits take at most 64 MiB, at least 512: products of fewer rows
    /// spend their time on reading the head's weight.
    pub fn head_chunk_for(&self, vocab_size: usize) -> usize {
        let fit = CHUNK_BYTES / 4 / vocab_size.max(1);
        self.head_chunk.unwrap_or(1 << fit.max(512).ilog2())
    }
}
