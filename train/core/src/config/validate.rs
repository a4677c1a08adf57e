//! The second stage: from [`RawConfig`] to [`TrainConfig`].

use super::error::{ConfigError, Problem};
use super::scope::Scope;
use super::table::Fallback;
use super::words::{AxisWord, MethodName};
use super::{RawConfig, SETTINGS, TrainConfig, warmup_fix};
use crate::models::{Architecture, architecture};

mod adapter;
mod paths;

impl RawConfig {
    /// Checks every value, alone and against the others, and fills in the defaults.
    ///
    /// The file system is looked at: the model, the data, a template, a tokenizer's file and an
    /// adapter must be there. What the model is decides some defaults.
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
        };
        let mut raw = self.clone();
        let mut knows_method = !self.record.unread.contains("method");
        if let Some(path) = &self.adapter {
            let own = check.adapter(path);
            knows_method = own.is_some();
            own.iter().for_each(|own| raw.lay_over(own));
        }
        let mut config = raw.filled();
        if config.max_steps.is_none() {
            config.epochs.get_or_insert(1.0);
        }
        if let Some(parts) = &mut config.train_parts {
            parts.0.sort_unstable();
            parts.0.dedup();
        }
        check.values(&config, knows_method);
        if knows_method {
            check.method(&config);
        }
        check.lengths(&config);
        check.pairs();
        check.paths();
        if check.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(check.problems))
        }
    }
}

struct Check<'a> {
    raw: &'a RawConfig,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.add(key, message.into(), false);
    }

    /// A file or folder is not what the setting needs it to be.
    fn on_disk(&mut self, key: &str, message: String) {
        self.add(key, message, true);
    }

    fn add(&mut self, key: &str, message: String, on_disk: bool) {
        if !self.raw.record.unread.contains(key) {
            self.problems.push(Problem {
                place: self.raw.place(key),
                message,
                on_disk,
            });
        }
    }

    /// What the table says: what is required, what means something, and which values there are.
    fn values(&mut self, config: &TrainConfig, knows_method: bool) {
        let raw = self.raw;
        for row in SETTINGS {
            if !row.is_given(raw) {
                if let Fallback::Required(fix) = row.fallback {
                    self.problem(row.name, format!("missing; {fix}"));
                }
                continue;
            }
            let place = raw.place(row.name);
            if self.problems.iter().any(|problem| problem.place == place) {
                continue;
            }
            match ((row.scope)(config), (row.check)(raw)) {
                (Scope::Wrong(why), _) if knows_method => self.problem(row.name, why),
                (_, Err(wrong)) => self.problem(row.name, wrong),
                _ => {}
            }
        }
    }

    /// What the method needs.
    fn method(&mut self, config: &TrainConfig) {
        match config.method {
            _ if config.adapter.is_some() => {}
            MethodName::Bone if config.block_axis == AxisWord::None => self.problem(
                "block_axis",
                "is \"none\", which tells of an adapter to go on from that it is miss, and bone has \
                 blocks; say output or input",
            ),
            MethodName::MissMini if config.mini_width.is_none() => self.problem(
                "mini_width",
                "missing; miss-mini needs it; it must divide the outputs of every target",
            ),
            // A model that cannot be read is reported when it is loaded.
            MethodName::State => {
                let llama = Architecture::Llama2;
                if architecture(&config.model).is_ok_and(|found| found == llama) {
                    let message = format!(
                        "state tunes the initial state of a recurrent model (RWKV6), and {} has \
                         none; choose another method",
                        llama.name()
                    );
                    self.problem("method", message);
                }
            }
            _ => {}
        }
    }

    fn lengths(&mut self, config: &TrainConfig) {
        let max_seq_len = config.max_seq_len;
        if let Some(chunk) = config.chunk_ctx
            && (2..=chunk).contains(&max_seq_len)
            && !self.raw.record.unread.contains("max_seq_len")
        {
            let message = format!(
                "{chunk} means nothing with max_seq_len {max_seq_len}, which is no longer; leave \
                 it out, or raise max_seq_len"
            );
            self.problem("chunk_ctx", message);
        }
        let steps = config.warmup_steps;
        // A max_steps of 0 is a problem of its own.
        let reached = |most: &usize| *most > 0 && steps >= *most;
        if config.warmup_ratio.is_none()
            && let Some(most) = config.max_steps.filter(reached)
        {
            let message = format!(
                "{steps} step(s) leave nothing of max_steps {most}, so that learning_rate would \
                 never be reached; {}",
                warmup_fix("warmup_steps", most)
            );
            self.problem("warmup_steps", message);
        }
    }

    /// Settings of which there may be one.
    fn pairs(&mut self) {
        let raw = self.raw;
        let schemas = raw.schema.is_some() && raw.field_map.is_some();
        let warmups = raw.warmup_steps.is_some() && raw.warmup_ratio.is_some();
        for (key, other, are_both) in [
            ("schema", "field_map", schemas),
            ("warmup_ratio", "warmup_steps", warmups),
        ] {
            if are_both {
                self.problem(
                    key,
                    format!("{other} is given too; leave out one of the two"),
                );
            }
        }
    }
}
