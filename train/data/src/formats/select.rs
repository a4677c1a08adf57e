//! The user's choice of data: a file or a folder's split, and optionally a range of rows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::DataError;

mod folder;
#[cfg(test)]
mod tests;

/// A source of rows, written as `PATH` or `PATH[FROM:TO]`.
///
/// `PATH` is a file, a folder, or `FOLDER/SPLIT` for the folder's files of a split; [`files`](Self::files)
/// finds them. Rows are counted from 0 across all files of the source. `FROM` is the first row taken and
/// `TO` the first row not taken. Either may be omitted: `wiki/train[:100000]`, `chat.jsonl[500:]`. If a
/// file with the whole text as its name exists, the text is a path without a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The part before the range.
    pub path: PathBuf,
    /// The first row taken, from 0.
    pub from: u64,
    /// The first row not taken; `None` to take all rows.
    pub to: Option<u64>,
}

impl FromStr for Selection {
    /// A message that says what is wrong.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = |problem: String| {
            format!(
                "data '{text}': {problem}; expected PATH or PATH[FROM:TO] with row numbers from 0, like \
                 train.jsonl[:1000]"
            )
        };
        let (path, range) = match split_range(text) {
            // Then the brackets belong to the name.
            Some(_) if Path::new(text).exists() => (text, (0, None)),
            Some((path, range)) => (path, parse_range(range).map_err(error)?),
            None => (text, (0, None)),
        };
        if path.is_empty() {
            return Err(error("the file name is missing".to_owned()));
        }
        Ok(Self {
            path: path.into(),
            from: range.0,
            to: range.1,
        })
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        f.write_str(&path)?;
        // A path that ends like a range must not be read as one.
        if self.from == 0 && self.to.is_none() && split_range(&path).is_none() {
            return Ok(());
        }
        let text = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        let from = Some(self.from).filter(|from| *from > 0);
        write!(f, "[{}:{}]", text(from), text(self.to))
    }
}

impl Selection {
    /// Returns the files of this selection, in row order; at least one.
    ///
    /// The path of a file is that file. If `FOLDER/SPLIT` does not exist, it stands for the files
    /// `SPLIT.EXT` or `SPLIT-00000-of-00002.EXT` and so on in `FOLDER` or `FOLDER/data`. Hubs lay out data
    /// sets like this. `EXT` is `json`, `jsonl` or `parquet`, optionally with `.gz` or `.zst`. A folder
    /// stands for its split `train`, or its only split.
    ///
    /// # Errors
    /// [`DataError`]: nothing exists there; there are several splits (listed); a split exists twice; files
    /// are missing from a numbered set (listed); or a folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, DataError> {
        folder::files(&self.path)
    }
}

/// Returns the text before and within the last brackets. The brackets must end the text, and contain a
/// colon or only make sense as a range.
fn split_range(text: &str) -> Option<(&str, &str)> {
    let (path, range) = text.strip_suffix(']')?.rsplit_once('[')?;
    let meant = |c: char| c.is_ascii_digit() || "%-+.,".contains(c) || c.is_whitespace();
    (range.contains(':') || range.chars().all(meant)).then_some((path, range))
}

fn parse_range(range: &str) -> Result<(u64, Option<u64>), String> {
    let Some((from, to)) = range.split_once(':') else {
        return Err(format!("[{range}] is not a range: the colon is missing"));
    };
    let (from, to) = (parse_bound(from)?, parse_bound(to)?);
    let from = from.unwrap_or(0);
    match to {
        Some(to) if from >= to => Err(format!(
            "[{range}] selects no row: the start {from} must be less than the end {to}"
        )),
        to => Ok((from, to)),
    }
}

fn parse_bound(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with('-') {
        return Err(format!(
            "{text} counts from the end, which is not supported"
        ));
    }
    if text.ends_with('%') {
        return Err(format!("{text} is a fraction, which is not supported"));
    }
    match text.parse() {
        Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
        _ => Err(format!("'{text}' is not a row number")),
    }
}
