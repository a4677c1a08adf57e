use bone_data::joined;
use std::{fmt, io};

use thiserror::Error;

use crate::report::printable;

/// Unusable settings, with every problem: a file that cannot be read or is not TOML, and settings that are
/// unknown, of the wrong type, out of range or in conflict.
#[derive(Debug, Error)]
#[error("{}", list(.0))]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// Returns whether only files and folders are at fault, and not the settings themselves.
    pub fn is_on_disk(&self) -> bool {
        self.0.iter().all(|problem| problem.on_disk)
    }
}

/// One problem with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the user gave the setting: `run.toml: rank`, `--set rank`, `--rank`, or only `rank` if it was
    /// not given.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether the setting is well formed and only a file or folder is at fault.
    pub on_disk: bool,
}

impl Problem {
    /// Returns a problem with the settings themselves.
    pub(super) fn new(place: String, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            on_disk: false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and values may come from an untrusted file.
        let text = format!("{}: {}", self.place, self.message);
        f.write_str(&printable(&text))
    }
}

/// Returns why the given kind of path ("file") cannot be read.
pub(super) fn unreadable(kind: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{kind} not found"),
        _ => format!("cannot be read: {error}"),
    }
}

fn list(problems: &[Problem]) -> String {
    let lines = joined(problems, "\n  ");
    match problems.len() {
        1 => lines,
        count => format!("{count} problems with the settings:\n  {lines}"),
    }
}
