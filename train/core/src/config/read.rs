//! The first stage: from a file, `--set` and flags to [`RawConfig`].

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::settings::table::Words;
use super::value::Written;
use super::{RawConfig, SETTINGS, TrainConfig};
use bone_data::nearest;

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
    let (raw, problems) = RawConfig::read(given)?;
    raw.validate_after(problems)
}

/// Reads what was given of the method's settings, checks it and fills in the defaults. No file is
/// looked at, and no model, data or output folder is required.
///
/// # Errors
/// [`ConfigError`] as of [`resolve`].
pub fn resolve_method(given: &Given) -> Result<TrainConfig, ConfigError> {
    let (raw, problems) = RawConfig::read(given)?;
    raw.validate_method(problems)
}

impl RawConfig {
    /// Reads what was given, and lists what could not be read.
    pub(super) fn read(given: &Given) -> Result<(Self, Vec<Problem>), ConfigError> {
        let (mut raw, mut problems) = match &given.file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|source| ConfigError::Io {
                    path: path.clone(),
                    source,
                })?;
                Self::of_toml(&text, path)?
            }
            None => Default::default(),
        };
        for pair in &given.set {
            let read = match pair.split_once('=') {
                Some((key, text)) => {
                    let (key, text) = (key.trim(), text.trim());
                    raw.set(key, Written::Text(text), "--set", format!("--set {key}"))
                }
                None => Err(Problem::new(
                    format!("--set {pair}"),
                    "write --set KEY=VALUE",
                )),
            };
            problems.extend(read.err());
        }
        for (key, text) in &given.flags {
            let place = format!("--{}", key.replace('_', "-"));
            let read = raw.set(key, Written::Text(text), "flag", place);
            problems.extend(read.err());
        }
        Ok((raw, problems))
    }

    /// Reads the text of a file, and lists what could not be read.
    pub(super) fn of_toml(text: &str, path: &Path) -> Result<(Self, Vec<Problem>), ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            ConfigError::Syntax {
                path: path.to_owned(),
                line: 1 + before.matches('\n').count(),
                message: error.message().replace('\n', "; "),
            }
        })?;
        let mut raw = Self::default();
        let read = table.iter().map(|(key, value)| {
            let place = format!("{}: {key}", path.display());
            raw.set(key, Written::Toml(value), "file", place)
        });
        let problems = read.filter_map(Result::err).collect();
        Ok((raw, problems))
    }

    /// Sets one value, in place of any before.
    fn set(
        &mut self,
        key: &str,
        written: Written<'_>,
        origin: &'static str,
        place: String,
    ) -> Result<(), Problem> {
        let Some(row) = SETTINGS.iter().find(|row| row.name == key) else {
            return Err(Problem::new(place, unknown_key(key)));
        };
        self.record.places.insert(row.name, (origin, place.clone()));
        (row.read)(self, written).map_err(|message| {
            self.record.unread.insert(row.name);
            Problem::new(place, message)
        })
    }

    /// Returns where a key was given, as a person wrote it.
    pub(super) fn place(&self, key: &str) -> String {
        let place = self.record.places.get(key);
        place.map_or(key, |(_, place)| place).to_owned()
    }

    /// Returns where each value that was given comes from.
    pub(super) fn origins(&self) -> Words {
        let given = SETTINGS.iter().filter(|row| row.is_given(self));
        let place = |name| self.record.places.get(name);
        given
            .map(|row| {
                (
                    row.name,
                    place(row.name).map_or("program", |(origin, _)| origin),
                )
            })
            .collect()
    }

    /// Takes from `under` what is not given.
    pub(super) fn lay_over(&mut self, under: &Self) {
        for row in SETTINGS {
            if row.is_given(under) && !row.is_given(self) {
                (row.copy)(self, under);
                let place = under.record.places.get(row.name);
                self.record
                    .places
                    .extend(place.map(|place| (row.name, place.clone())));
            }
        }
        self.record.unread.extend(&under.record.unread);
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
