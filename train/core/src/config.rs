//! The settings of a training run, read in two stages.
//!
//! [`RawConfig`] holds what was given, in a TOML file, with `--set` or with flags (flags win over
//! `--set`, which wins over the file). [`TrainConfig`] is validated and has every default filled.
//! Both stages collect every problem before they fail. A setting that means nothing to the chosen
//! method is a problem too, never ignored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bone::{AdapterConfig, Variant};
use bone_lm::Part;
use bone_tokenizer::TokenizerChoice;

use crate::schedule::{Schedule, ScheduleKind};
use bone_data::{Cut, Holdout, Schema, Sources, Template};

mod error;
mod over;
mod read;
mod settings;
#[cfg(test)]
mod tests;
mod unknown;
mod validate;
mod value;
mod words;
mod write;

pub use error::{ConfigError, Problem};
pub use over::resolve_over;
pub use read::resolve;
pub use settings::{Flags, Origin, RawConfig, TrainArgs};
pub use value::{Layers, Parts};
pub use words::{AxisWord, DtypeChoice, Init, MethodName};

/// Memory that a chunk of logits takes, where `head_chunk` is not given.
const CHUNK_BYTES: usize = 64 << 20;

/// What trains.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Adapters on a frozen base.
    Adapter(AdapterConfig),
    /// The initial state of a recurrent model, everything else frozen.
    State,
    /// Every weight of the model.
    Full,
}

impl Method {
    /// The name users type: `bone`, `miss`, `miss-mini`, `lora`, `pissa`, `olora`, `state` or
    /// `full`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Adapter(adapter) => match adapter.variant {
                Variant::Bone(_) => "bone",
                variant => variant.name(),
            },
            Self::State => "state",
            Self::Full => "full",
        }
    }
}

/// How long the learning rate rises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warmup {
    /// So many steps.
    Steps(usize),
    /// This share of the run's steps, from 0 to below 1, rounded up.
    Ratio(f64),
}

/// Settings that have been checked, with every default filled.
///
/// [`resolve`] makes one from the command line and [`RawConfig::validate`] from code.
/// Two are equal when their values are; where the values came from does not count.
#[derive(Debug, Clone)]
pub struct TrainConfig {
    /// The model: a folder, or a file of weights.
    pub model: PathBuf,
    /// Files of training rows.
    pub data: Sources,
    /// Folder for the result.
    pub out: PathBuf,
    /// Whether `out` may have something in it.
    pub overwrite: bool,
    /// What the model starts from.
    pub init: Init,
    /// What turns text into tokens.
    pub tokenizer: TokenizerChoice,
    /// How a row becomes a prompt and a completion.
    pub template: Template,
    /// The rows' fields; `None` to find them from the rows.
    pub schema: Option<Schema>,
    /// How a binidx's sequences become rows of a batch.
    pub binidx_cut: Cut,
    /// Longest sequence in tokens, at least 2.
    pub max_seq_len: usize,
    /// Tokens of the pieces a sequence is trained in, from 2 to below `max_seq_len`; `None` for
    /// whole sequences.
    pub chunk_ctx: Option<usize>,
    /// Whether several samples share a row of `max_seq_len` tokens.
    pub packing: bool,
    /// What is held out for validation.
    pub validation: Holdout,
    /// What trains.
    pub method: Method,
    /// The adapter that training goes on from.
    pub adapter: Option<PathBuf>,
    /// Learning rate of LoRA's `B` in units of `A`'s, above 0.
    pub lora_plus_ratio: f64,
    /// What trains whole beside adapters, in order, each once.
    pub train_parts: Vec<Part>,
    /// Passes over the training rows, above 0. At least one of `epochs` and `max_steps` is there;
    /// with both the run ends at whichever comes first.
    pub epochs: Option<f64>,
    /// Optimizer steps of the run, at least 1.
    pub max_steps: Option<usize>,
    /// Rows of a micro batch, at least 1.
    pub batch_size: usize,
    /// Micro batches of an optimizer step, at least 1.
    pub gradient_accumulation: usize,
    /// Highest learning rate, above 0.
    pub learning_rate: f64,
    /// Learning rate after the warm-up.
    pub schedule: ScheduleKind,
    /// How long the learning rate rises.
    pub warmup: Warmup,
    /// AdamW's decay of the first moment, `0 ≤ β < 1`.
    pub beta1: f64,
    /// AdamW's decay of the second moment, `0 ≤ β < 1`.
    pub beta2: f64,
    /// AdamW's epsilon, above 0.
    pub eps: f64,
    /// AdamW's weight decay, 0 or more.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; 0 is no limit.
    pub max_grad_norm: f64,
    /// Seed of everything random, at most 2⁶³ − 1.
    pub seed: u64,
    /// Steps between evaluations; see [`eval_interval`](Self::eval_interval).
    pub eval_every: Option<usize>,
    /// Steps between checkpoints.
    pub save_every: Option<usize>,
    /// Minutes between checkpoints; 0 for none.
    pub save_minutes: f64,
    /// Newest checkpoints that are kept, at least 1.
    pub keep_last: usize,
    /// Whether the checkpoint of the best evaluation is saved and kept.
    pub keep_best: bool,
    /// Whether the longest rows and a save are tried before the first step; `None` where the device is
    /// none that the processor emulates.
    pub shake_down: Option<bool>,
    /// What to run on.
    pub device: String,
    /// Precision of the base weights.
    pub dtype: DtypeChoice,
    /// Whether a GPU runs neighbouring operations as one.
    pub fusion: bool,
    /// Whether blocks are run again in the backward.
    pub recompute: bool,
    /// Whether logits and loss are computed by chunks of tokens.
    pub chunked_head: bool,
    /// Tokens of such a chunk; see [`head_chunk_for`](Self::head_chunk_for).
    pub head_chunk: Option<usize>,
    origins: BTreeMap<&'static str, Origin>,
}

impl TrainConfig {
    /// The adapters that train; `None` for a method without.
    pub fn adapter_config(&self) -> Option<AdapterConfig> {
        match &self.method {
            Method::Adapter(adapter) => Some(adapter.clone()),
            Method::State | Method::Full => None,
        }
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).copied().unwrap_or(Origin::Default)
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
            warmup_steps: match self.warmup {
                Warmup::Steps(steps) => steps,
                Warmup::Ratio(ratio) => (total_steps as f64 * ratio).ceil() as usize,
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
        let key = match self.warmup {
            Warmup::Steps(_) => "warmup_steps",
            Warmup::Ratio(_) => "warmup_ratio",
        };
        Err(format!(
            "a warm-up of {warmup} step(s) leaves nothing of a run of {total_steps} step(s), so \
             that learning_rate would never be reached; {}",
            warmup_fix(key, total_steps)
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

/// What to do about a warm-up that `key` makes as long as a run of `total_steps`.
fn warmup_fix(key: &str, total_steps: usize) -> String {
    if total_steps < 2 {
        return format!("leave {key} out, or train for more steps");
    }
    let most = total_steps - 1;
    format!("lower {key} so that it is at most {most} step(s), or train for more steps")
}

impl PartialEq for TrainConfig {
    fn eq(&self, other: &Self) -> bool {
        // The TOML holds every value to its last digit.
        self.to_toml() == other.to_toml()
    }
}
