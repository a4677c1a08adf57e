//! The second stage: from [`RawConfig`] to [`TrainConfig`].

use super::error::{ConfigError, Problem};
use super::settings::scope::Scope;
use super::settings::table::Fallback;
use super::words::MethodName;
use super::{RawConfig, SETTINGS, TrainConfig};
use crate::models::{Architecture, recognise};

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
        // What depends on another setting is unknown while that could not be read.
        let mut is_read = self.record.unread.is_empty();
        if let Some(path) = &self.adapter {
            let own = check.adapter(path);
            is_read &= own.is_some();
            if let Some(own) = own {
                // What does not agree has been said: the adapter's method decides on the rest.
                raw.method.take_if(|method| Some(*method) != own.method);
                raw.lay_over(&own);
            }
        }
        let mut config = raw.filled();
        if config.max_steps.is_none() {
            config.epochs.get_or_insert(1.0);
        }
        if let Some(parts) = &mut config.train_parts {
            parts.0.sort_unstable();
            parts.0.dedup();
        }
        check.values(&raw, &config, is_read);
        if is_read && self.adapter.is_none() {
            check.state(&config);
        }
        check.paths();
        if check.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(check.problems))
        }
    }

    /// Checks what was given without a look at files; no model, data or output folder is required.
    pub(super) fn validate_method(
        &self,
        problems: Vec<Problem>,
    ) -> Result<TrainConfig, ConfigError> {
        let mut check = Check {
            raw: self,
            problems,
        };
        let config = self.filled();
        check.values(self, &config, true);
        let mut problems = check.problems;
        problems.retain(|problem| !["model", "data", "out"].contains(&problem.place.as_str()));
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(problems))
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
    /// `filled` has what an adapter brings along.
    fn values(&mut self, filled: &RawConfig, config: &TrainConfig, is_read: bool) {
        for row in SETTINGS {
            let place = self.raw.place(row.name);
            if self.problems.iter().any(|problem| problem.place == place) {
                continue;
            }
            let is_given = row.is_given(self.raw);
            let right = match (row.scope(config), &row.fallback) {
                (Scope::Wrong(why), _) if is_given && is_read => Err(why),
                (Scope::Applies, Fallback::Required(fix)) if !row.is_given(filled) => {
                    Err(format!("missing; {fix}"))
                }
                _ => (row.check)(self.raw),
            };
            if let Err(message) = right {
                self.problem(row.name, message);
            }
        }
    }

    fn state(&mut self, config: &TrainConfig) {
        let llama = Architecture::Llama2;
        // A model that cannot be read is reported when it is loaded.
        let is_llama = || recognise(&config.model).is_ok_and(|found| found.architecture == llama);
        if config.method == MethodName::State && is_llama() {
            let message = format!(
                "state tunes the initial state of a recurrent model (RWKV6), and {} has none; \
                 choose another method",
                llama.name()
            );
            self.problem("method", message);
        }
    }
}
