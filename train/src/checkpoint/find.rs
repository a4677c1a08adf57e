//! The checkpoints of a run.

use super::list::problems;
use super::unit::{PARTIAL, remove};
use super::{CheckpointError, FOLDER, STATE, State, WriteError, read_state};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a checkpoint's folder is called, before the number of steps.
const NAME: &str = "step-";

/// The name of the checkpoint after so many steps.
pub(super) fn name(steps: usize) -> String {
    format!("{NAME}{steps}")
}

/// A checkpoint that is whole.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its folder.
    pub folder: PathBuf,
    /// The output folder of the run that it is of.
    pub out: PathBuf,
    /// What the run is.
    pub state: State,
}

/// The checkpoint that `path` names: one itself, or the newest of the run whose output folder it is.
///
/// # Errors
///
/// [`CheckpointError`]. What is damaged is told with all that is wrong, and which one is whole; it is never
/// passed over in silence.
pub fn find(path: &Path) -> Result<Found, CheckpointError> {
    let none = |reason: &str| CheckpointError::None {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    };
    if path.join(STATE).exists() || steps_of(path).is_some() {
        let out = path.parent().and_then(Path::parent);
        let out = out.ok_or_else(|| none("is in no run's output folder"))?;
        let out = match out.as_os_str().is_empty() {
            true => Path::new("."),
            false => out,
        };
        return open(path, out);
    }
    let all = of_run(path).map_err(|error| none(&error.to_string()))?;
    match all.last() {
        Some((_, newest)) => open(newest, path),
        None if path.exists() => Err(none(
            "has no checkpoint to go on from: name the output folder of a run, or begin anew with \
             --overwrite",
        )),
        None => Err(none(
            "there is no such folder; name the output folder of a run",
        )),
    }
}

fn open(folder: &Path, out: &Path) -> Result<Found, CheckpointError> {
    let wrong = problems(folder);
    let state = match wrong.is_empty() {
        true => read_state(folder),
        false => Err(CheckpointError::Damaged {
            path: folder.to_path_buf(),
            problems: wrong,
            whole: None,
        }),
    };
    match state {
        Ok(state) => Ok(Found {
            folder: folder.to_path_buf(),
            out: out.to_path_buf(),
            state,
        }),
        Err(CheckpointError::Damaged { path, problems, .. }) => Err(CheckpointError::Damaged {
            whole: newest_whole(out, &path),
            path,
            problems,
        }),
        Err(other) => Err(other),
    }
}

/// The newest whole checkpoint of the run in `out` but one.
fn newest_whole(out: &Path, but: &Path) -> Option<PathBuf> {
    let all = of_run(out).ok()?;
    let mut others = all.into_iter().rev().map(|(_, folder)| folder);
    others.find(|folder| {
        folder.file_name() != but.file_name()
            && problems(folder).is_empty()
            && read_state(folder).is_ok()
    })
}

fn steps_of(folder: &Path) -> Option<usize> {
    let name = folder.file_name()?.to_str()?;
    name.strip_prefix(NAME)?.parse().ok()
}

/// Every checkpoint of the run in `out`, damaged ones too, by its steps.
pub(super) fn of_run(out: &Path) -> io::Result<Vec<(usize, PathBuf)>> {
    let mut all = Vec::new();
    let entries = match fs::read_dir(out.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        all.extend(steps_of(&path).map(|steps| (steps, path)));
    }
    all.sort();
    Ok(all)
}

/// Removes what a run that was killed has left unfinished in `out`.
///
/// # Errors
///
/// [`WriteError`].
pub(super) fn tidy(out: &Path) -> Result<(), WriteError> {
    let Ok(entries) = fs::read_dir(out.join(FOLDER)) else {
        return Ok(());
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.to_string_lossy().ends_with(PARTIAL) {
            remove(&path)?;
        }
    }
    Ok(())
}
