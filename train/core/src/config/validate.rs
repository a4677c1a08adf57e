//! The second stage: from [`RawConfig`] to [`TrainConfig`].

use super::error::{ConfigError, Problem};
use super::settings::RawConfig;
use super::{Method, TrainConfig, Warmup, warmup_fix};
use crate::models::{Architecture, recognise};
use bone_data::{Holdout, Schema, Sources};

mod continued;
mod method;
mod paths;

pub(super) use method::{block_axis_reason, comes_with_adapter, default_learning_rate};

/// Longest sequence in tokens, where it is not given.
const MAX_SEQ_LEN: usize = 512;

impl RawConfig {
    /// Checks every value, alone and against the others, and fills in the defaults.
    ///
    /// The file system is looked at: the model, the data file and a template or tokenizer file
    /// must be there, the output folder must be new or empty unless `overwrite` is set. What the
    /// model is decides some defaults.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem.
    pub fn validate(&self) -> Result<TrainConfig, ConfigError> {
        self.validate_after(Vec::new())
    }

    /// [`validate`](Self::validate), with `problems` that reading has found before.
    pub(super) fn validate_after(
        &self,
        problems: Vec<Problem>,
    ) -> Result<TrainConfig, ConfigError> {
        let mut check = Check {
            raw: self,
            problems,
            // A model that cannot be read is reported when it is loaded.
            architecture: self
                .model
                .as_deref()
                .and_then(|path| recognise(path).ok())
                .map(|known| known.architecture),
        };
        for (key, message) in self.check_values() {
            check.problem(key, message);
        }
        check.paths();
        check.intervals();
        let template = check.template();
        let method = match &self.adapter {
            Some(path) => check.continued(path),
            None => check.method(),
        };
        let lora_plus_ratio = check.lora_plus_ratio(&method);
        let max_seq_len = check.at_least("max_seq_len", self.max_seq_len, 2, MAX_SEQ_LEN);
        let chunk_ctx = check.chunk_ctx(max_seq_len);
        let warmup = check.warmup();
        let config = TrainConfig {
            model: self.model.clone().unwrap_or_default(),
            data: self.data.clone().unwrap_or(Sources(Vec::new())),
            out: self.out.clone().unwrap_or_default(),
            overwrite: self.overwrite.unwrap_or(false),
            init: self.init.unwrap_or_default(),
            tokenizer: self.tokenizer.clone().unwrap_or_default(),
            template,
            schema: check.schema(),
            binidx_cut: self.binidx_cut.unwrap_or_default(),
            max_seq_len,
            chunk_ctx,
            packing: check.packing(&method),
            validation: self.validation.unwrap_or(Holdout::Share(0.02)),
            epochs: check.epochs(),
            max_steps: self
                .max_steps
                .map(|steps| check.at_least("max_steps", Some(steps), 1, 1)),
            batch_size: check.at_least("batch_size", self.batch_size, 1, 4),
            gradient_accumulation: check.at_least(
                "gradient_accumulation",
                self.gradient_accumulation,
                1,
                1,
            ),
            learning_rate: check.number(
                "learning_rate",
                self.learning_rate,
                default_learning_rate(&method).0,
                Range::Above,
            ),
            schedule: self.schedule.unwrap_or_default(),
            warmup,
            beta1: check.number("beta1", self.beta1, 0.9, Range::Share),
            beta2: check.number("beta2", self.beta2, 0.999, Range::Share),
            eps: check.number("eps", self.eps, 1e-8, Range::Above),
            weight_decay: check.number("weight_decay", self.weight_decay, 0.0, Range::From),
            max_grad_norm: check.number("max_grad_norm", self.max_grad_norm, 1.0, Range::From),
            seed: self.seed.unwrap_or(method::SEED),
            eval_every: self.eval_every,
            save_every: self.save_every,
            save_minutes: check.number("save_minutes", self.save_minutes, 15.0, Range::From),
            keep_last: check.at_least("keep_last", self.keep_last, 1, 2),
            keep_best: self.keep_best.unwrap_or(false),
            shake_down: self.shake_down,
            device: self.device.clone().unwrap_or_else(|| "auto".to_owned()),
            dtype: self.dtype.unwrap_or_default(),
            fusion: self.fusion.unwrap_or(true),
            recompute: self.recompute.unwrap_or(true),
            chunked_head: self.chunked_head.unwrap_or(true),
            head_chunk: self.head_chunk,
            adapter: self.adapter.clone(),
            lora_plus_ratio,
            train_parts: check.train_parts(),
            origins: self.origins_of_given(),
            method,
        };
        if check.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(check.problems))
        }
    }
}

/// Where a number may lie.
#[derive(Clone, Copy)]
enum Range {
    /// Above 0.
    Above,
    /// 0 or more.
    From,
    /// From 0 to below 1.
    Share,
}

struct Check<'a> {
    raw: &'a RawConfig,
    problems: Vec<Problem>,
    architecture: Option<Architecture>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.add(key, message.into(), false);
    }

    /// A file or folder is not what the setting needs it to be.
    fn on_disk(&mut self, key: &str, message: impl Into<String>) {
        self.add(key, message.into(), true);
    }

    fn add(&mut self, key: &str, message: String, on_disk: bool) {
        if !self.raw.unread.contains(key) {
            self.problems.push(Problem {
                place: self.raw.place(key),
                message,
                on_disk,
            });
        }
    }

    /// Each of `keys` that was given is a problem.
    fn refuse(&mut self, keys: &[&str], why: &str) {
        for key in keys {
            if self.raw.is_given(key) {
                self.problem(key, why);
            }
        }
    }

    fn at_least(&mut self, key: &str, value: Option<usize>, least: usize, or: usize) -> usize {
        let value = value.unwrap_or(or);
        if value < least {
            self.problem(key, format!("must be at least {least}, not {value}"));
        }
        value
    }

    fn number(&mut self, key: &str, value: Option<f64>, or: f64, range: Range) -> f64 {
        let value = value.unwrap_or(or);
        let (inside, wanted) = match range {
            Range::Above => (value > 0.0, "above 0"),
            Range::From => (value >= 0.0, "0 or more"),
            Range::Share => ((0.0..1.0).contains(&value), "at least 0 and below 1"),
        };
        if !inside || !value.is_finite() {
            self.problem(key, format!("must be {wanted}, not {value:?}"));
        }
        value
    }

    fn chunk_ctx(&mut self, max_seq_len: usize) -> Option<usize> {
        let chunk = self.raw.chunk_ctx;
        if chunk.is_some_and(|chunk| chunk < 2) {
            self.at_least("chunk_ctx", chunk, 2, 2);
        } else if let Some(chunk) = chunk
            && (2..=chunk).contains(&max_seq_len)
            && !self.raw.unread.contains("max_seq_len")
        {
            let message = format!(
                "{chunk} means nothing with max_seq_len {max_seq_len}, which is no longer; leave \
                 it out, or raise max_seq_len"
            );
            self.problem("chunk_ctx", message);
        }
        chunk
    }

    fn schema(&mut self) -> Option<Schema> {
        let raw = self.raw;
        if let (Some(_), Some(_)) = (&raw.schema, &raw.field_map) {
            self.problem("schema", "field_map is given too; leave out one of the two");
        }
        let own = raw.field_map.clone().map(Schema::Fields);
        own.or_else(|| raw.schema.clone())
    }

    fn packing(&mut self, method: &Method) -> bool {
        let packing = self.raw.packing.unwrap_or(false);
        if packing && *method == Method::State {
            let message = "means nothing with method state: what trains is the state that a row \
                           starts from, and of the samples packed into it only the first does; \
                           leave it out";
            self.problem("packing", message);
        }
        packing
    }

    fn epochs(&mut self) -> Option<f64> {
        let raw = self.raw;
        if raw.epochs.is_none() && raw.max_steps.is_some() {
            return None;
        }
        Some(self.number("epochs", raw.epochs, 1.0, Range::Above))
    }

    fn warmup(&mut self) -> Warmup {
        let raw = self.raw;
        if let (Some(_), Some(_)) = (raw.warmup_steps, raw.warmup_ratio) {
            self.problem(
                "warmup_ratio",
                "warmup_steps is given too; leave out one of the two",
            );
        }
        if let Some(ratio) = raw.warmup_ratio {
            self.number("warmup_ratio", Some(ratio), 0.0, Range::Share);
            return Warmup::Ratio(ratio);
        }
        let steps = raw.warmup_steps.unwrap_or(0);
        // A max_steps of 0 is a problem of its own.
        let reached = |most: &usize| *most > 0 && steps >= *most;
        if let Some(most) = raw.max_steps.filter(reached) {
            let message = format!(
                "{steps} step(s) leave nothing of max_steps {most}, so that learning_rate would \
                 never be reached; {}",
                warmup_fix("warmup_steps", most)
            );
            self.problem("warmup_steps", message);
        }
        Warmup::Steps(steps)
    }

    fn intervals(&mut self) {
        let raw = self.raw;
        if raw.validation == Some(Holdout::Count(0)) {
            self.refuse(
                &["eval_every"],
                "means nothing with validation 0; leave it out, or hold something out",
            );
        }
        if raw.chunked_head == Some(false) {
            self.refuse(
                &["head_chunk"],
                "means nothing with chunked_head false; leave one of them out",
            );
        }
        for (key, steps) in [
            ("eval_every", raw.eval_every),
            ("save_every", raw.save_every),
            ("head_chunk", raw.head_chunk),
        ] {
            if steps == Some(0) {
                self.problem(key, "must be at least 1; leave it out for the default");
            }
        }
    }
}
