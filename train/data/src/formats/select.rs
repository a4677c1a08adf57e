//! What a person writes for data: a file or a folder's split, and perhaps a range of its rows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::DataError;

mod folder;
#[cfg(test)]
mod tests;

/// A source of rows, written as `PATH` or `PATH[FROM:TO]`.
///
/// `PATH` is a file, a folder, or `FOLDER/SPLIT` for files of the folder that are named after the
/// split, as [`files`](Self::files) finds them. Rows are counted from 0 over all files of the
/// source; `FROM` is the first that is taken and `TO` the first that is not. Either may be left
/// out: `wiki/train[:100000]`, `chat.jsonl[500:]`. What exists under the whole text is taken whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    /// What is before the range.
    pub path: PathBuf,
    /// The first row that is taken, from 0.
    pub from: u64,
    /// The first row that is not taken any more; all are where there is none.
    pub to: Option<u64>,
}

impl FromStr for Selection {
    /// What is wrong with it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = |problem: String| {
            format!(
                "data '{text}': {problem}; write PATH or PATH[FROM:TO], where FROM and TO are \
                 whole numbers of rows, counted from 0, and either may be left out: \
                 train.jsonl[:1000]"
            )
        };
        let (path, range) = match split_range(text) {
            // Then those brackets are of its name.
            Some(_) if Path::new(text).exists() => (text, (0, None)),
            Some((path, range)) => (path, parse_range(range).map_err(error)?),
            None => (text, (0, None)),
        };
        if path.is_empty() {
            return Err(error("it names no file".to_owned()));
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
        // What ends like a range must not be taken for one.
        if self.from == 0 && self.to.is_none() && split_range(&path).is_none() {
            return Ok(());
        }
        let text = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        let from = Some(self.from).filter(|from| *from > 0);
        write!(f, "[{}:{}]", text(from), text(self.to))
    }
}

impl Selection {
    /// The files of this selection, in the order of their rows; never none.
    ///
    /// A path of a file is that file. `FOLDER/SPLIT`, where there is no such file or folder, is the
    /// files `SPLIT.EXT` or `SPLIT-00000-of-00002.EXT` and so on in `FOLDER` or `FOLDER/data`, as
    /// hubs lay out data sets; `EXT` is `json`, `jsonl` or `parquet`, perhaps with `.gz` or `.zst`
    /// behind it. A folder is its split `train`, or its only one.
    ///
    /// # Errors
    /// [`DataError`]: nothing there; several splits, which are listed; a split that is there
    /// twice; files missing from a numbered set, which are listed; a folder that can't be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, DataError> {
        folder::files(&self.path)
    }
}

/// What is before and within the last brackets, where these end the text and have a colon or can
/// only be meant as a range.
fn split_range(text: &str) -> Option<(&str, &str)> {
    let (path, range) = text.strip_suffix(']')?.rsplit_once('[')?;
    let meant = |c: char| c.is_ascii_digit() || "%-+.,".contains(c) || c.is_whitespace();
    (range.contains(':') || range.chars().all(meant)).then_some((path, range))
}

fn parse_range(range: &str) -> Result<(u64, Option<u64>), String> {
    let Some((from, to)) = range.split_once(':') else {
        return Err(format!("[{range}] is no range, which has a colon"));
    };
    let (from, to) = (parse_bound(from)?, parse_bound(to)?);
    let from = from.unwrap_or(0);
    match to {
        Some(to) if from >= to => Err(format!("[{range}] has no row: {from} is not below {to}")),
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
        return Err(format!("{text} is a share, which is not supported"));
    }
    match text.parse() {
        Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(number)),
        _ => Err(format!("'{text}' is not a whole number of rows")),
    }
}
