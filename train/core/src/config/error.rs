use std::fmt;

use thiserror::Error;

use crate::report::printable;

/// Settings that cannot be used, with everything that is wrong with them: a file that cannot be read
/// or is not TOML, and settings that are unknown, of the wrong type, out of range or at odds.
#[derive(Debug, Error)]
#[error("{}", list(.0))]
pub struct ConfigError(pub Vec<Problem>);

impl ConfigError {
    /// Whether nothing is wrong with the settings themselves, only with the files and folders
    /// that they name.
    pub fn is_on_disk(&self) -> bool {
        self.0.iter().all(|problem| problem.on_disk)
    }
}

/// One thing wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the setting was given, as a person wrote it: `run.toml: rank`, `--set rank`,
    /// `--rank`, or only `rank` where it was not given.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether the setting is well formed and what lies on the disk is in its way.
    pub on_disk: bool,
}

impl Problem {
    /// Returns a problem of the settings themselves.
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
        // Keys and values may come from a file of someone else's.
        let text = format!("{}: {}", self.place, self.message);
        f.write_str(&printable(&text))
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    if lines.len() == 1 {
        return lines.concat();
    }
    let (count, lines) = (lines.len(), lines.join("\n  "));
    format!("{count} problems with the settings:\n  {lines}")
}
