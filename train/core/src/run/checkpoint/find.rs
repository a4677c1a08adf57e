//! The checkpoints of a run.

use super::list::{LIST, problems};
use super::saver::TRIAL;
use super::unit::{PARTIAL, remove};
use super::{CheckpointError, STATE, State, WriteError, read_state};
use crate::layout::CHECKPOINTS;
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
    /// Where it is.
    pub at: Located,
    /// What the run is.
    pub state: State,
}

/// The checkpoint that `path` names: one itself, `OUT/checkpoints/step-N`, or the newest of the run whose
/// output folder it is.
///
/// # Errors
///
/// [`CheckpointError`]. What is damaged is told with all that is wrong, and which one is whole; it is never
/// passed over in silence. A copy outside its run's folder is none: nobody knows what else lies there.
pub fn find(path: &Path) -> Result<Found, CheckpointError> {
    open(locate(path)?)
}

/// Where a checkpoint is.
#[derive(Debug, Clone)]
pub struct Located {
    /// Its folder.
    pub folder: PathBuf,
    /// The output folder of the run that it is of.
    pub out: PathBuf,
}

/// As [`find`], but whether it is whole, for which all of it is read.
///
/// # Errors
///
/// [`CheckpointError::None`].
pub fn locate(path: &Path) -> Result<Located, CheckpointError> {
    let none = |reason: &str| CheckpointError::None {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    };
    if let Some((folder, out)) = placed(path) {
        return Ok(Located { folder, out });
    }
    if [STATE, LIST].iter().any(|name| path.join(name).exists()) {
        return Err(none(
            "a checkpoint goes on in the folder of its run, as OUT/checkpoints/step-N: put it back there, or \
             begin a new run from what it has learned with --adapter or --model",
        ));
    }
    let out = match path.file_name() {
        Some(name) if name == CHECKPOINTS && path.is_dir() => or_here(path.parent()),
        _ => path.to_path_buf(),
    };
    let all = of_run(&out).map_err(|error| none(&error.to_string()))?;
    match all.last() {
        Some((_, newest)) => Ok(Located {
            folder: newest.clone(),
            out,
        }),
        None if path.exists() => Err(none(
            "has no checkpoint to go on from: name the output folder of a run, or begin anew with \
             --overwrite",
        )),
        None => Err(none(
            "there is no such folder; name the output folder of a run",
        )),
    }
}

/// A folder's parent, where a path has one of no name.
fn or_here(parent: Option<&Path>) -> PathBuf {
    match parent {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// A checkpoint's folder and its run's, if that is what a path leads to, by a link or from within as well.
fn placed(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let of = |folder: &Path| {
        let within = folder.parent()?;
        let is_one = within.file_name()? == CHECKPOINTS && steps_of(folder).is_some();
        is_one.then(|| (folder.to_path_buf(), or_here(within.parent())))
    };
    of(path).or_else(|| of(&fs::canonicalize(path).ok()?))
}

fn open(at: Located) -> Result<Found, CheckpointError> {
    let wrong = problems(&at.folder);
    let state = match wrong.is_empty() {
        true => read_state(&at.folder),
        false => Err(CheckpointError::Damaged {
            path: at.folder.clone(),
            problems: wrong,
            whole: None,
        }),
    };
    match state {
        Ok(state) => Ok(Found { at, state }),
        Err(CheckpointError::Damaged { path, problems, .. }) => Err(CheckpointError::Damaged {
            whole: newest_whole(&at.out, |_, folder| folder.file_name() != path.file_name()),
            path,
            problems,
        }),
        Err(other) => Err(other),
    }
}

/// The newest whole checkpoint of the run in `out` that is wanted, by its steps and its folder.
pub(crate) fn newest_whole(
    out: &Path,
    is_wanted: impl Fn(usize, &Path) -> bool,
) -> Option<PathBuf> {
    let all = of_run(out).ok()?;
    let wanted = all.into_iter().rev();
    let mut wanted = wanted.filter(|(steps, folder)| is_wanted(*steps, folder));
    let whole =
        wanted.find(|(_, folder)| problems(folder).is_empty() && read_state(folder).is_ok());
    whole.map(|(_, folder)| folder)
}

fn steps_of(folder: &Path) -> Option<usize> {
    let given = folder.file_name()?.to_str()?;
    let steps = given.strip_prefix(NAME)?.parse().ok()?;
    // Somebody's step-008 is none.
    (name(steps) == given).then_some(steps)
}

/// Every checkpoint of the run in `out`, damaged ones too, by its steps.
pub(crate) fn of_run(out: &Path) -> io::Result<Vec<(usize, PathBuf)>> {
    let mut all = Vec::new();
    let entries = match fs::read_dir(out.join(CHECKPOINTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let steps = steps_of(&path).filter(|_| path.is_dir());
        all.extend(steps.map(|steps| (steps, path)));
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
    let Ok(entries) = fs::read_dir(out.join(CHECKPOINTS)) else {
        return Ok(());
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let whole = name.and_then(|name| name.strip_suffix(PARTIAL));
        let is_trial = |name: Option<&str>| name == Some(TRIAL);
        let was_one = whole.is_some_and(|name| steps_of(Path::new(name)).is_some());
        if is_trial(name) || is_trial(whole) || was_one {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Whether a folder of checkpoints has only what is left of one that was tried.
pub(crate) fn is_trial(place: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(place)? {
        let name = entry?.file_name();
        if !name.to_string_lossy().starts_with(TRIAL) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_one_where_its_run_has_it() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("run");
        let one = out.join(CHECKPOINTS).join("step-3");
        fs::create_dir_all(&one).unwrap();
        assert_eq!(placed(&one), Some((one.clone(), out.clone())));
        assert_eq!(placed(&out), None);
        #[cfg(unix)]
        {
            let link = place.path().join("latest");
            std::os::unix::fs::symlink(&one, &link).unwrap();
            let real = fs::canonicalize(&one).unwrap();
            assert_eq!(placed(&link).unwrap().0, real);
        }
        // A copy elsewhere goes on nowhere, and what lies there is left alone.
        let copy = place.path().join("backup/step-3");
        fs::create_dir_all(&copy).unwrap();
        fs::write(copy.join(STATE), "{}").unwrap();
        let error = find(&copy).unwrap_err().to_string();
        assert!(error.contains("put it back there"), "{error}");
    }

    #[test]
    fn another_versions_is_told_with_the_version() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(CHECKPOINTS).join("step-3");
        let unit = super::super::Unit::begin(&folder).unwrap();
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
    fn what_is_not_ours_is_left_alone() {
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
        assert_eq!(of_run(place.path()).unwrap(), []);
    }
}
