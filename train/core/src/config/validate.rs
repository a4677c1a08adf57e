//! The second stage: validating [`RawConfig`] into [`TrainConfig`].

use super::error::{ConfigError, Problem};
use super::settings::scope::Scope;
use super::settings::table::{Fallback, Row};
use super::{RawConfig, SETTINGS, TrainConfig};

mod adapter;
mod paths;

impl RawConfig {
    /// Checks every value, by itself and against the others, and fills in the defaults.
    ///
    /// Checks that the model, the data, the template, the tokenizer file and the adapter exist. Some
    /// defaults depend on the model.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn validate(&self) -> Result<TrainConfig, ConfigError> {
        let mut check = Check {
            raw: self,
            problems: self.record.problems.clone(),
        };
        let mut raw = self.clone();
        // Settings that depend on an unreadable setting cannot be checked.
        let mut is_read = self.record.unread.is_empty();
        if let Some(path) = &self.adapter {
            let own = check.adapter(path);
            is_read &= own.is_some();
            if let Some(own) = own {
                // The conflict is already reported. The adapter's method decides the remaining checks.
                raw.method.take_if(|method| Some(*method) != own.method);
                raw.lay_over(&own);
            }
        }
        let mut config = raw.filled();
        if config.max_steps.is_none() {
            config.epochs.get_or_insert(1.0);
        }
        if let Some(parts) = &mut config.train_parts {
            parts.sort_unstable();
            parts.dedup();
        }
        check.values(SETTINGS.iter(), &raw, &config, is_read);
        check.paths();
        config_or(check.problems, config)
    }

    /// Validates like [`validate`](Self::validate), but without a model, data or output folder and without
    /// reading files.
    pub(super) fn validate_method(&self) -> Result<TrainConfig, ConfigError> {
        let config = self.filled();
        let mut check = Check {
            raw: self,
            problems: self.record.problems.clone(),
        };
        let is_theirs = |row: &&Row| !["model", "data", "out"].contains(&row.name);
        check.values(SETTINGS.iter().filter(is_theirs), self, &config, true);
        config_or(check.problems, config)
    }
}

fn config_or(problems: Vec<Problem>, config: TrainConfig) -> Result<TrainConfig, ConfigError> {
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError(problems))
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

    /// Adds the problem that a file or folder does not fit the setting.
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

    /// Checks the rules of the table: which settings are required, which apply, and their ranges. `filled`
    /// includes the adapter's settings.
    fn values<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a Row>,
        filled: &RawConfig,
        config: &TrainConfig,
        is_read: bool,
    ) {
        for row in rows {
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
}
