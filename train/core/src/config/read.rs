//! The first stage: from a file, `--set` and flags to [`RawConfig`].

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::settings::table::{Origins, Row};
use super::value::typed;
use super::{RawConfig, SETTINGS, TrainConfig};
use bone_data::nearest;
use toml::Value;

/// Settings as a person gives them: flags win over `set`, which wins over the file.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// A file of `key = value` lines in TOML.
    pub file: Option<PathBuf>,
    /// What `--set` was given: `key=value`.
    pub set: Vec<String>,
    /// Flags: key and value.
    pub flags: Vec<(String, String)>,
}

/// Reads what was given and validates it.
///
/// # Errors
/// [`ConfigError`]: the file cannot be read or is not TOML, or every setting that is unknown, of
/// the wrong type, out of range or at odds with another.
pub fn resolve(given: &Given) -> Result<TrainConfig, ConfigError> {
    RawConfig::read(given)?.validate()
}

/// As [`resolve`], for settings of a method alone: no model, data or output folder is required, and
/// no file is looked at.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_method(given: &Given) -> Result<TrainConfig, ConfigError> {
    RawConfig::read(given)?.validate_method()
}

impl RawConfig {
    /// Reads what was given. What cannot be read of it is in the record.
    pub(super) fn read(given: &Given) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        if let Some(path) = &given.file {
            let text = fs::read_to_string(path).map_err(|error| {
                let mut problem = Problem::new(path.display().to_string(), error.to_string());
                problem.on_disk = true;
                ConfigError(vec![problem])
            })?;
            raw = Self::of_toml(&text, path)?;
        }
        for pair in &given.set {
            let place = |key| format!("--set {key}");
            if let Some((key, text)) = pair.split_once('=') {
                let key = key.trim();
                raw.set(key, &typed(text.trim()), "--set", place(key));
            } else {
                let problem = Problem::new(place(pair), "write --set KEY=VALUE");
                raw.record.problems.push(problem);
            }
        }
        for (key, text) in &given.flags {
            let place = format!("--{}", key.replace('_', "-"));
            raw.set(key, &typed(text), "flag", place);
        }
        Ok(raw)
    }

    /// Reads the text of a file. What cannot be read of it is in the record.
    pub(super) fn of_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = 1 + before.matches('\n').count();
            let message = error.message().replace('\n', "; ");
            ConfigError(vec![Problem::new(
                format!("{}:{line}", path.display()),
                format!("not valid TOML: {message}"),
            )])
        })?;
        let mut raw = Self::default();
        for (key, value) in &table {
            raw.set(key, value, "file", format!("{}: {key}", path.display()));
        }
        Ok(raw)
    }

    /// Sets one value, in place of any before.
    fn set(&mut self, key: &str, value: &Value, origin: &'static str, place: String) {
        let Some(row) = SETTINGS.iter().find(|row| row.name == key) else {
            let problem = Problem::new(place, unknown_key(key));
            return self.record.problems.push(problem);
        };
        self.record.places.insert(row.name, (origin, place.clone()));
        if let Err(message) = (row.read)(self, value) {
            self.record.unread.insert(row.name);
            self.record.problems.push(Problem::new(place, message));
        }
    }

    /// Returns where a key was given, as a person wrote it.
    pub(super) fn place(&self, key: &str) -> String {
        let place = self.record.places.get(key);
        place.map_or(key, |(_, place)| place).to_owned()
    }

    /// Returns the rows of what was given.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static Row> {
        SETTINGS.iter().filter(|row| row.is_given(self))
    }

    /// Returns where each value that was given comes from.
    pub(super) fn origins(&self) -> Origins {
        let places = &self.record.places;
        let origin = |row: &Row| places.get(row.name).map_or("program", |(origin, _)| origin);
        let named = |row: &'static Row| (row.name, origin(row).to_owned());
        self.given().map(named).collect()
    }

    /// Takes from `under` what is not given.
    pub(super) fn lay_over(&mut self, under: &Self) {
        for row in under.given() {
            if row.is_given(self) {
                continue;
            }
            (row.copy)(self, under);
            let place = under.record.places.get(row.name);
            self.record
                .places
                .extend(place.map(|place| (row.name, place.clone())));
        }
        self.record.unread.extend(&under.record.unread);
        let problems = under.record.problems.iter().cloned();
        self.record.problems.extend(problems);
    }
}

/// The message for a key that does not exist.
pub(super) fn unknown_key(key: &str) -> String {
    let name = key.trim_start_matches('-').replace('-', "_");
    let mut rows = SETTINGS.iter();
    let near = match rows.find(|row| row.aliases.contains(&name.as_str())) {
        Some(row) => Some(row.name),
        None => nearest(&name, SETTINGS.iter().map(|row| row.name)),
    };
    match near {
        Some(near) => format!("there is no such setting; did you mean '{near}'?"),
        None => "there is no such setting; `bone train --help` lists them".to_owned(),
    }
}
