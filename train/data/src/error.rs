//! Errors of data.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::formats::Place;
use bone_files::wording::and_more;

/// Unusable data: where, what is wrong, and what to do.
#[derive(Debug, Error)]
pub enum DataError {
    /// A file or folder that cannot be opened, read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A damaged file.
    #[error("{}: damaged: {what}; download or create it again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An empty file, or an empty slice of one.
    #[error("{}: {what}", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: String,
    },
    /// An unusable file or folder.
    #[error("{}: {what}", .path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// Why not, and what to do.
        what: String,
    },
    /// Rows with problems: all are counted, the first ones are shown.
    #[error("{}: {total} problem(s) in the rows:{}", .path.display(), list(.shown, *.total, *.missing))]
    Rows {
        /// The file.
        path: PathBuf,
        /// The first problems.
        shown: Vec<(Place, String)>,
        /// Total number of problems.
        total: usize,
        /// Whether a field that a field map can name is missing.
        missing: bool,
    },
    /// Settings or samples without anything to train on.
    #[error("{0}")]
    Other(String),
}

impl DataError {
    /// Returns a function that turns a system error into an error at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + Copy + '_ {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(crate) fn empty(path: &Path, what: impl Into<String>) -> Self {
        Self::Empty {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(crate) fn unusable(path: &Path, what: impl Into<String>) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

/// Joins problems of one kind on one line; lists other problems one per line.
fn list(shown: &[(Place, String)], total: usize, missing: bool) -> String {
    let alike = shown.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let (mut text, between) = match shown {
        [(_, problem), ..] if alike => {
            let places = shown.iter().map(|(place, _)| place.to_string());
            let places = and_more(places, total).join(", ");
            (format!(" {problem} ({places})"), "; ")
        }
        _ => {
            let rows = shown.iter().map(|(place, what)| format!("{place}: {what}"));
            let lines = and_more(rows, total);
            let lines = lines.iter().map(|line| format!("\n  {line}"));
            (lines.collect(), "\n  ")
        }
    };
    if missing {
        text.push_str(between);
        text.push_str(
            "correct the rows, or set the field names with --field-map \
             instruction=FIELD,response=FIELD[,input=FIELD]",
        );
    }
    text
}
