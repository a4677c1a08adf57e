//! What an evaluation has so far: it lies beside its result until that is there, so that one that was
//! stopped goes on.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

/// Why results could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is there comes from other settings.
    #[error(
        "{}: holds what is left of an evaluation that was stopped, with other settings ({}); set \
         them back to go on with it, else remove the file or name another --out",
        .path.display(), .differ.join(", ")
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// Names of the settings that differ.
        differ: Vec<String>,
    },
    /// What is there was not written by an evaluation.
    #[error("{}: is not what an evaluation leaves: {reason}; remove it, or name another --out", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ResultsError + '_ {
    move |source| ResultsError::Io {
        path: path.to_owned(),
        source,
    }
}

/// An evaluation that is not done: a file with a line for its settings and one for all that was
/// pushed.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    /// Begins the evaluation whose result will be `out`, or goes on where one of the same settings was
    /// stopped: with what that pushed.
    ///
    /// # Errors
    ///
    /// [`ResultsError`].
    pub fn open<T: DeserializeOwned>(
        out: &Path,
        settings: &impl Serialize,
    ) -> Result<(Self, Vec<T>), ResultsError> {
        let path = ending(out, ".partial");
        if let Some(folder) = out.parent() {
            fs::create_dir_all(folder).map_err(at(&path))?;
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(at(&path))?;
        let not_ours = |reason: serde_json::Error| ResultsError::NotOurs {
            path: path.clone(),
            reason: reason.to_string(),
        };
        let settings = serde_json::to_value(settings).map_err(not_ours)?;
        let (mut pushed, mut whole) = (Vec::new(), 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(at(&path))?;
            if !line.ends_with(b"\n") {
                break;
            }
            if whole == 0 {
                let before: Value = serde_json::from_slice(&line).map_err(not_ours)?;
                let differ = differences(&before, &settings);
                if !differ.is_empty() {
                    return Err(ResultsError::Other { path, differ });
                }
            } else {
                pushed.push(serde_json::from_slice(&line).map_err(not_ours)?);
            }
            whole += read as u64;
        }
        // A line that was cut off goes.
        file.set_len(whole)
            .and_then(|()| file.seek(io::SeekFrom::Start(whole)))
            .map_err(at(&path))?;
        let mut unfinished = Self { path, file };
        if whole == 0 {
            unfinished.push(&settings)?;
        }
        Ok((unfinished, pushed))
    }

    /// Takes something more, which is on the disk on return.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn push(&mut self, value: &impl Serialize) -> Result<(), ResultsError> {
        let line = serde_json::to_string(value).map(|line| line + "\n");
        line.map_err(io::Error::from)
            .and_then(|line| self.file.write_all(line.as_bytes()))
            .map_err(at(&self.path))
    }

    /// Writes the result to `out`, and removes what was kept beside it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn finish(self, out: &Path, result: &impl Serialize) -> Result<(), ResultsError> {
        // The file that is there is the whole of it, or the one before.
        let write = |new: &Path| {
            fs::write(new, serde_json::to_string_pretty(result)? + "\n")?;
            fs::rename(new, out)
        };
        write(&ending(out, ".new"))
            .and_then(|()| fs::remove_file(&self.path))
            .map_err(at(out))
    }
}

fn ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Returns the names of the settings that differ.
fn differences(before: &Value, now: &Value) -> Vec<String> {
    let names = now.as_object().into_iter().flat_map(|fields| fields.keys());
    let differ = names.filter(|name| before[*name] != now[*name]);
    differ.cloned().collect()
}
