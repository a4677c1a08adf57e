//! Report on a data file.

use crate::Dropped;
use std::ops::Range;
use std::path::PathBuf;

/// Report on one data file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its layout and its fields, or that it is a text.
    pub what: String,
    /// How often each of its rows is used in an epoch.
    pub weight: f64,
    /// Number of rows read.
    pub rows: u64,
    /// Whether its rows were rendered with the template.
    pub templated: bool,
    /// Rows that were dropped or cut.
    pub dropped: Dropped,
    /// Tokens of each row, before cutting and dropping.
    pub lengths: Vec<u32>,
    /// Numbers of its samples.
    pub samples: Range<u32>,
    /// Number of trained tokens in them.
    pub trained: usize,
}

impl FileReport {
    /// Returns one line per fact: the file's layout, and what was dropped from it. `named` puts the file's
    /// name before each.
    pub fn lines(&self, named: bool) -> Vec<String> {
        let name = if named {
            format!("{}: ", self.path.display())
        } else {
            String::new()
        };
        let mut lines = vec![format!("{name}{}", self.what)];
        if self.dropped != Dropped::default() {
            lines.push(format!("{name}{}", self.dropped));
        }
        lines
    }
}
