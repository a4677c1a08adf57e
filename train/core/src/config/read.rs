//! The first stage: reading a file, `--set` and flags into [`RawConfig`].

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem, unreadable};
use super::settings::table::{Origins, Row};
use super::value::typed;
use super::{RawConfig, SETTINGS, TrainConfig};
use bone_data::nearest;
use toml::Value;

/// Settings that the user gives. Flags override `set`, which overrides the file.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// A file of `key = value` lines in TOML.
    pub file: Option<PathBuf>,
    /// Values of `--set`: `key=value`.
    pub set: Vec<String>,
    /// Flags: pairs of key and value.
    pub flags: Vec<(String, String)>,
}

/// Reads the given settings and validates them.
///
/// # Errors
/// [`ConfigError`]: the file cannot be read or is not TOML, or settings are unknown, of the wrong type, out
/// of range or in conflict. The error lists all of them.
pub fn resolve(given: &Given) -> Result<TrainConfig, ConfigError> {
    RawConfig::read(given)?.validate()
}

/// Reads and validates the settings of a method alone, like [`resolve`]. It requires no model, data or
/// output folder, and reads no other file.
///
/// # Errors
/// Like [`resolve`].
pub fn resolve_method(given: &Given) -> Result<TrainConfig, ConfigError> {
    RawConfig::read(given)?.validate_method()
}

impl RawConfig {
    /// Reads the given settings. The record lists those that cannot be read.
    pub(super) fn read(given: &Given) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        if let Some(path) = &given.file {
            let text = fs::read_to_string(path).map_err(|error| {
                let message = unreadable("file", &error);
                let mut problem = Problem::new(path.display().to_string(), message);
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
                let problem = Problem::new(place(pair), "expected --set KEY=VALUE");
                raw.record.problems.push(problem);
            }
        }
        for (key, text) in &given.flags {
            let place = format!("--{}", key.replace('_', "-"));
            raw.set(key, &typed(text), "flag", place);
        }
        Ok(raw)
    }

    /// Reads the text of a file. The record lists the settings that cannot be read.
    pub(super) fn of_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = 1 + before.matches('\n').count();
            let message = error.message().replace('\n', "; ");
            ConfigError(vec![Problem::new(
                format!("{}:{line}", path.display()),
                format!("invalid TOML: {message}"),
            )])
        })?;
        let mut raw = Self::default();
        for (key, value) in &table {
            raw.set(key, value, "file", format!("{}: {key}", path.display()));
        }
        Ok(raw)
    }

    /// Sets one value and replaces an earlier one.
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

    /// Returns where the user gave a key.
    pub(super) fn place(&self, key: &str) -> String {
        let place = self.record.places.get(key);
        place.map_or(key, |(_, place)| place).to_owned()
    }

    /// Returns the table rows of the given settings.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static Row> {
        SETTINGS.iter().filter(|row| row.is_given(self))
    }

    /// Returns the origin of each given value.
    pub(super) fn origins(&self) -> Origins {
        let places = &self.record.places;
        let origin = |row: &Row| places.get(row.name).map_or("program", |(origin, _)| origin);
        let named = |row: &'static Row| (row.name, origin(row).to_owned());
        self.given().map(named).collect()
    }

    /// Takes settings from `under` that are not set here.
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

/// Returns the message for an unknown key.
pub(super) fn unknown_key(key: &str) -> String {
    let name = key.trim_start_matches('-').replace('-', "_");
    let mut rows = SETTINGS.iter();
    let near = match rows.find(|row| row.aliases.contains(&name.as_str())) {
        Some(row) => Some(row.name),
        None => nearest(&name, SETTINGS.iter().map(|row| row.name)),
    };
    match near {
        Some(near) => format!("unknown setting; did you mean '{near}'?"),
        None => "unknown setting; `bone train --help` lists all settings".to_owned(),
    }
}
