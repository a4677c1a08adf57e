//! The first stage: from a file, `--set` and flags to [`RawConfig`].

use std::fs;
use std::path::Path;

use super::TrainConfig;
use super::error::{ConfigError, Problem};
use super::settings::{Origin, RawConfig, SetError, TrainArgs};
use super::unknown::unknown_key;
use super::value::Given;

/// Reads the file, lays `--set` and then the flags over it, and validates the whole.
///
/// # Errors
/// [`ConfigError`]: the file cannot be read or is not TOML, or every setting that is unknown, of
/// the wrong type, out of range or at odds with another.
pub fn resolve(args: &TrainArgs) -> Result<TrainConfig, ConfigError> {
    let (raw, problems) = RawConfig::read(args, None)?;
    raw.validate_after(problems)
}

impl RawConfig {
    /// Reads what was given, and lists what could not be read.
    pub(super) fn read(
        args: &TrainArgs,
        under: Option<(&toml::Table, &Path)>,
    ) -> Result<(Self, Vec<Problem>), ConfigError> {
        let mut raw = Self::default();
        let mut problems = Vec::new();
        if let Some((table, path)) = under {
            raw.file = Some(path.to_owned());
            for (key, value) in table {
                let place = format!("{}: {key}", path.display());
                raw.take(key, Given::Toml(value), Origin::File, place, &mut problems);
            }
        }
        if let Some(path) = &args.run {
            let file = path.display().to_string();
            let table = parse(path)?;
            raw.file = Some(path.clone());
            for (key, value) in &table {
                let place = format!("{file}: {key}");
                raw.take(key, Given::Toml(value), Origin::File, place, &mut problems);
            }
        }
        for pair in &args.set {
            match pair.split_once('=') {
                Some((key, text)) => {
                    let (key, text) = (key.trim(), text.trim());
                    let place = format!("--set {key}");
                    raw.take(key, Given::Text(text), Origin::Set, place, &mut problems);
                }
                None => problems.push(Problem {
                    place: format!("--set {pair}"),
                    message: "write --set KEY=VALUE".to_owned(),
                    on_disk: false,
                }),
            }
        }
        for (key, text) in args.flags.given() {
            let place = flag(key);
            raw.take(key, Given::Text(text), Origin::Flag, place, &mut problems);
        }
        Ok((raw, problems))
    }

    fn take(
        &mut self,
        key: &str,
        given: Given<'_>,
        origin: Origin,
        place: String,
        problems: &mut Vec<Problem>,
    ) {
        let message = match self.set(key, given, origin) {
            Ok(()) => return,
            Err(SetError::UnknownKey) => unknown_key(key),
            Err(SetError::Value(message)) => message,
        };
        problems.push(Problem {
            place,
            message,
            on_disk: false,
        });
    }

    /// Where a key was given, as a person wrote it.
    pub(super) fn place(&self, key: &str) -> String {
        match (self.origins.get(key), &self.file) {
            (Some(Origin::File), Some(file)) => format!("{}: {key}", file.display()),
            (Some(Origin::Set), _) => format!("--set {key}"),
            (Some(Origin::Flag), _) => flag(key),
            _ => key.to_owned(),
        }
    }
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

fn parse(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Io {
        path: path.to_owned(),
        source,
    })?;
    table(&text, path)
}

pub(super) fn table(text: &str, path: &Path) -> Result<toml::Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        ConfigError::Syntax {
            path: path.to_owned(),
            line: 1 + before.matches('\n').count(),
            message: error.message().replace('\n', "; "),
        }
    })
}
