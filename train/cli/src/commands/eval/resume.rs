//! Partial results of an evaluation. They are stored beside the final result until it exists, so that a
//! stopped evaluation can resume.

use crate::error::CommandError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Rejects an existing result, unless it is to be replaced.
pub(super) fn check_new(out: &Path, overwrite: bool) -> Result<(), CommandError> {
    if out.exists() && !overwrite {
        let reason = "already exists; give another --out, or add --overwrite";
        return Err(CommandError::path(out, reason));
    }
    Ok(())
}

/// An unfinished evaluation: a file with one line for its settings, and one line per pushed value.
#[derive(Debug)]
pub(super) struct Unfinished {
    out: PathBuf,
    path: PathBuf,
    file: File,
}

impl Unfinished {
    /// Starts the evaluation with the result file `out`, or resumes a stopped one with the same settings.
    /// Returns the values that the stopped one pushed.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or belongs to another evaluation.
    pub(super) fn open<T: DeserializeOwned>(
        out: &Path,
        settings: &Value,
    ) -> Result<(Self, Vec<T>), CommandError> {
        let path = ending(out, ".partial");
        let (file, bytes) = read(&path).map_err(CommandError::io(&path))?;
        // A partial last line is removed.
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = &bytes[..end.map_or(0, |end| end + 1)];
        let mut lines = whole.split_inclusive(|byte| *byte == b'\n');
        let not_ours = |error: serde_json::Error| {
            let reason = format!(
                "is not an unfinished evaluation: {error}; remove it, or give another --out"
            );
            CommandError::path(&path, reason)
        };
        let before = lines.next().map(serde_json::from_slice::<Value>);
        let before = before.transpose().map_err(not_ours)?;
        let differ = differences(before.as_ref().unwrap_or(settings), settings);
        if !differ.is_empty() {
            let reason = format!(
                "belongs to a stopped evaluation with other settings ({}); to resume it, use those \
                 settings; otherwise remove the file or give another --out",
                differ.join(", ")
            );
            return Err(CommandError::path(path, reason));
        }
        let pushed = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
        let pushed = pushed.map_err(not_ours)?;
        let set_len = file.set_len(whole.len() as u64);
        set_len.map_err(CommandError::io(&path))?;
        let mut unfinished = Self {
            out: out.to_owned(),
            path,
            file,
        };
        if before.is_none() {
            unfinished.push(settings)?;
        }
        Ok((unfinished, pushed))
    }

    /// Appends a value and syncs it to the disk.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn push(&mut self, value: &impl Serialize) -> Result<(), CommandError> {
        let line = format!("{}\n", json!(value));
        let written = self.file.write_all(line.as_bytes());
        written.map_err(CommandError::io(&self.path))
    }

    /// Writes the final result and removes the partial results.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn finish(self, result: &Value) -> Result<(), CommandError> {
        // So the result file is always complete: the new one or the old one.
        let new = ending(&self.out, ".new");
        fs::write(&new, format!("{result:#}\n"))
            .and_then(|()| fs::rename(&new, &self.out))
            .and_then(|()| fs::remove_file(&self.path))
            .map_err(CommandError::io(&self.out))
    }
}

/// Opens the file at `path` for appending. Returns it with its content.
fn read(path: &Path) -> std::io::Result<(File, Vec<u8>)> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut options = File::options();
    let mut file = options.read(true).append(true).create(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

fn ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Returns the names of the settings that differ.
fn differences<'a>(before: &Value, now: &'a Value) -> Vec<&'a str> {
    let settings = now.as_object().into_iter().flatten();
    let differ = settings.filter(|(name, value)| before[name] != **value);
    differ.map(|(name, _)| name.as_str()).collect()
}
