//! What was found in a file.

use crate::Dropped;
use std::ops::Range;
use std::path::PathBuf;

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its layout and its fields, or that it is a text.
    pub what: String,
    /// How often each of its rows is taken in an epoch.
    pub weight: f64,
    /// Rows that were read.
    pub rows: u64,
    /// Whether its rows went through the template.
    pub templated: bool,
    /// Rows that were left out or cut.
    pub dropped: Dropped,
    /// Tokens of each row, before anything was cut or dropped.
    pub lengths: Vec<u32>,
    /// Numbers of its samples.
    pub samples: Range<u32>,
    /// Tokens of them that are trained.
    pub trained: usize,
}

impl FileReport {
    /// One line a fact, with the file's name where there are several.
    pub(super) fn lines(&self, named: bool) -> Vec<String> {
        let name = if named {
            format!("{}: ", self.path.display())
        } else {
            String::new()
        };
        let mut lines = vec![format!("{name}{}", self.what)];
        if self.templated {
            lines.push(format!("{name}{}", self.dropped));
        }
        lines
    }
}
