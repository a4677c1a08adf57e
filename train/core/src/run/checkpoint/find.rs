//! The checkpoints of a run.

use super::list::{LIST, problems};
use super::unit::{PARTIAL, remove};
use super::{STATE, State, read_state};
use crate::disk::{PathError, at};
use crate::layout::CHECKPOINTS;
use crate::run::{RunError, shell};
use bone_data::joined;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Start of a checkpoint folder's name, before the number of steps.
const NAME: &str = "step-";

/// Name of the trial checkpoint, which only tests the disk.
pub(super) const TRIAL: &str = "trial";

/// Returns the name of the checkpoint after `steps` steps.
pub(super) fn name(steps: usize) -> String {
    format!("{NAME}{steps}")
}

/// Location of a checkpoint.
#[derive(Debug, Clone)]
pub struct Located {
    /// Folder of the checkpoint.
    pub folder: PathBuf,
    /// Output folder of its run.
    pub out: PathBuf,
}

/// A complete checkpoint.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its location.
    pub at: Located,
    /// State of the run.
    pub state: State,
}

/// Returns the checkpoint at `path`. `path` is a checkpoint, `OUT/checkpoints/step-N`, or a run's output
/// folder, which stands for its newest checkpoint.
///
/// # Errors
///
/// A damaged checkpoint is an error, never skipped silently. The error lists every problem and names a
/// complete checkpoint. A copy outside its run's folder is an error too: other files there could be lost.
pub fn find(path: &Path) -> Result<Found, RunError> {
    let at = locate(path)?;
    let wrong = match whole(&at.folder) {
        Ok(state) => return Ok(Found { at, state }),
        Err(wrong) => wrong,
    };
    let is_other = |_, folder: &Path| folder.file_name() != at.folder.file_name();
    let offer = match newest_whole(&at.out, is_other) {
        Some(whole) => format!(
            ". To start a new run from the newest complete checkpoint:\n  bone train --resume {} --out NEW",
            shell::path(&whole)
        ),
        None => "; the run has no other complete checkpoint".to_owned(),
    };
    Err(RunError::path(&at.folder, wrong + &offer))
}

/// Reads the state of a checkpoint if no file changed since it was written; otherwise returns every
/// problem.
fn whole(folder: &Path) -> Result<State, String> {
    let wrong = problems(folder);
    if wrong.is_empty() {
        read_state(folder)
    } else {
        Err(joined(wrong, "; "))
    }
}

/// Locates a checkpoint like [`find`], without checking that it is complete: that check reads every file.
///
/// # Errors
///
/// The path has no checkpoint.
pub(crate) fn locate(path: &Path) -> Result<Located, RunError> {
    if let Some(at) = placed(path) {
        if at.folder.exists() {
            return Ok(at);
        }
        let mut others = joined(all(&at.out)?.iter().map(|(steps, _)| name(*steps)), ", ");
        if others.is_empty() {
            others = "none".to_owned();
        }
        let reason = format!("checkpoint not found; the run has {others}");
        return Err(RunError::path(path, reason));
    }
    if [STATE, LIST].iter().any(|name| path.join(name).exists()) {
        return Err(RunError::path(
            path,
            "is a checkpoint outside the folder of its run: move it back to OUT/checkpoints/step-N, or \
             start a new run from its weights with --adapter or --model",
        ));
    }
    let out = if path.ends_with(CHECKPOINTS) && path.is_dir() {
        or_here(path.parent())
    } else {
        path.to_path_buf()
    };
    match all(&out)?.pop() {
        Some((_, folder)) => Ok(Located { folder, out }),
        None if path.exists() => Err(RunError::path(
            path,
            "has no checkpoint; give the output folder of a run, or start again with --overwrite",
        )),
        None => Err(RunError::path(
            path,
            "folder not found; give the output folder of a run",
        )),
    }
}

/// Returns a path's parent. An empty parent means the current folder.
fn or_here(parent: Option<&Path>) -> PathBuf {
    let named = parent.filter(|parent| !parent.as_os_str().is_empty());
    named.unwrap_or(Path::new(".")).to_path_buf()
}

/// Returns the folders of the checkpoint and its run if `path` leads to a checkpoint, also through a link
/// or from inside.
fn placed(path: &Path) -> Option<Located> {
    let of = |folder: &Path| {
        let within = folder.parent()?;
        let is_one = within.ends_with(CHECKPOINTS) && steps_of(folder).is_some();
        is_one.then(|| Located {
            folder: folder.to_path_buf(),
            out: or_here(within.parent()),
        })
    };
    of(path).or_else(|| of(&fs::canonicalize(path).ok()?))
}

/// Returns the newest complete checkpoint in `out` that `wanted` accepts, by its steps and its folder.
pub(crate) fn newest_whole(
    out: &Path,
    is_wanted: impl Fn(usize, &Path) -> bool,
) -> Option<PathBuf> {
    let found = all(out).ok()?.into_iter().rev();
    let mut wanted = found.filter(|(steps, folder)| is_wanted(*steps, folder));
    let (_, folder) = wanted.find(|(_, folder)| whole(folder).is_ok())?;
    Some(folder)
}

fn steps_of(folder: &Path) -> Option<usize> {
    let given = folder.file_name()?.to_str()?;
    let steps = given.strip_prefix(NAME)?.parse().ok()?;
    // A user's own `step-008` is not a checkpoint.
    (name(steps) == given).then_some(steps)
}

/// Returns the entries of the checkpoint folder of the run in `out`.
fn listed(out: &Path) -> Result<Vec<PathBuf>, PathError> {
    let place = out.join(CHECKPOINTS);
    let read = fs::read_dir(&place).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    });
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(at(&place)),
    }
}

/// Returns every checkpoint of the run in `out`, also damaged ones, with its steps.
pub(crate) fn all(out: &Path) -> Result<Vec<(usize, PathBuf)>, PathError> {
    let folders = listed(out)?.into_iter().filter(|path| path.is_dir());
    let mut all: Vec<_> = folders
        .filter_map(|path| steps_of(&path).map(|steps| (steps, path)))
        .collect();
    all.sort();
    Ok(all)
}

/// Returns whether `name` in the checkpoint folder is the name of a trial checkpoint.
pub(crate) fn is_trial(name: &str) -> bool {
    name.strip_suffix(PARTIAL).unwrap_or(name) == TRIAL
}

/// Removes the unfinished folders that a killed run left in `out`.
///
/// # Errors
///
/// [`PathError`].
pub(super) fn tidy(out: &Path) -> Result<(), PathError> {
    for path in listed(out)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = name.strip_suffix(PARTIAL);
        if is_trial(&name) || unfinished.is_some_and(|name| steps_of(Path::new(name)).is_some()) {
            remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn checkpoint_must_lie_in_its_run_folder() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("run");
        let one = out.join(CHECKPOINTS).join("step-3");
        fs::create_dir_all(&one).unwrap();
        let at = placed(&one).unwrap();
        assert_eq!((at.folder, at.out), (one.clone(), out.clone()));
        assert!(placed(&out).is_none());
        #[cfg(unix)]
        {
            let link = place.path().join("latest");
            std::os::unix::fs::symlink(&one, &link).unwrap();
            let real = fs::canonicalize(&one).unwrap();
            assert_eq!(placed(&link).unwrap().folder, real);
        }
        // A copy elsewhere cannot be resumed, and the files there stay.
        let copy = place.path().join("backup/step-3");
        fs::create_dir_all(&copy).unwrap();
        fs::write(copy.join(STATE), "{}").unwrap();
        let error = find(&copy).unwrap_err().to_string();
        assert!(error.contains("OUT/checkpoints/step-N"), "{error}");
        // A checkpoint that never existed: those that do are listed.
        let absent = one.with_file_name("step-99");
        let error = locate(&absent).unwrap_err().to_string();
        assert!(
            error.contains("not found") && error.ends_with("step-3"),
            "{error}"
        );
    }

    #[test]
    fn unknown_checkpoint_format_names_version() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(CHECKPOINTS).join("step-3");
        let unit = super::super::unit::Unit::begin(&folder).unwrap();
        let state = br#"{"format": 7, "bone": "9.9.9"}"#;
        unit.write(STATE, state).unwrap();
        unit.write(super::super::TENSORS, b"tensors").unwrap();
        unit.finish().unwrap();
        let error = find(place.path()).unwrap_err().to_string();
        assert!(
            error.contains("state.json: format 7, written by bone 9.9.9"),
            "{error}"
        );
    }

    #[test]
    fn tidy_keeps_foreign_files() {
        let place = tempfile::tempdir().unwrap();
        let checkpoints = place.path().join(CHECKPOINTS);
        let theirs = ["mine.partial", "step-008", "notes"];
        let ours = ["trial", "trial.partial", "step-9.partial"];
        for name in theirs.iter().chain(&ours) {
            fs::create_dir_all(checkpoints.join(name)).unwrap();
        }
        fs::write(checkpoints.join("step-500"), "a file").unwrap();
        tidy(place.path()).unwrap();
        assert!(theirs.iter().all(|name| checkpoints.join(name).exists()));
        assert!(!ours.iter().any(|name| checkpoints.join(name).exists()));
        assert_eq!(all(place.path()).unwrap(), []);
    }
}
