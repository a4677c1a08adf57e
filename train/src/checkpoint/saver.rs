//! Writing checkpoints while the run goes on.

use super::find::{name, of_run, tidy};
use super::unit::{Unit, bytes_in, remove};
use super::{FOLDER, STATE, State, TENSORS, WriteError, tensors_to_bytes};
use crate::disk::explained;
use crate::memory::human;
use crate::optimizer::Trained;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Which checkpoints are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many of the newest, at least 1.
    pub last: usize,
    /// Besides, the one whose evaluation was best.
    pub best: bool,
}

/// Writes the result so far into a checkpoint that is being filled.
pub type WriteResult = Box<dyn FnOnce(&Unit) -> Result<(), Box<dyn Error + Send + Sync>> + Send>;

/// A checkpoint that was written.
#[derive(Debug)]
pub struct Written {
    /// Where it lies.
    pub folder: PathBuf,
    /// Why older ones could not be removed, if they could not.
    pub left: Option<String>,
}

/// A run at one moment. Nothing that trains on changes it.
pub struct Snapshot {
    /// How far the run is.
    pub state: State,
    /// What trains, and the optimizer's moments.
    pub trained: BTreeMap<String, Trained>,
    /// The result so far.
    pub result: WriteResult,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Writes it whole, or not at all.
    ///
    /// # Errors
    ///
    /// What is wrong, in words; the disk is as it was.
    fn write(self, folder: &Path) -> Result<(), String> {
        let tensors = tensors_to_bytes(&self.trained).map_err(|why| format!("not saved: {why}"))?;
        let state = serde_json::to_vec_pretty(&self.state).map_err(|error| error.to_string())?;
        // The result is about as large as what trains, moments apart.
        let needed = tensors.len() + tensors.len() / 3 + state.len();
        let takes = ("a checkpoint", needed as u64, FILES);
        let said = |error: WriteError| explained(&error, takes, folder);
        let unit = Unit::begin(folder).map_err(said)?;
        unit.write(TENSORS, &tensors).map_err(said)?;
        unit.write(STATE, &state).map_err(said)?;
        (self.result)(&unit).map_err(|error| explained(&*error, takes, folder))?;
        unit.finish().map_err(said)
    }
}

/// Files and folders of a checkpoint.
const FILES: u64 = 8;

/// Writes the checkpoints of a run, one at a time, in a thread of its own.
#[derive(Debug)]
pub struct Saver {
    out: PathBuf,
    keep: Keep,
    writing: Option<JoinHandle<Result<Written, String>>>,
    best: Option<usize>,
    /// The checkpoint that was begun last.
    last: Option<usize>,
}

impl Saver {
    /// A saver for the run in `out`, which goes on from the checkpoint after `resumed` steps if there is
    /// one. What a run that was killed has left unfinished is removed.
    ///
    /// # Errors
    ///
    /// What cannot be removed.
    pub fn new(
        out: &Path,
        keep: Keep,
        resumed: Option<usize>,
        best: Option<usize>,
    ) -> Result<Self, String> {
        tidy(out).map_err(|error| error.to_string())?;
        Ok(Self {
            out: out.to_path_buf(),
            keep,
            writing: None,
            best,
            last: resumed,
        })
    }

    /// Whether the run after so many steps is saved already, or on its way.
    pub fn has(&self, steps: usize) -> bool {
        self.last == Some(steps)
    }

    /// The folder of the checkpoint after so many steps.
    pub fn folder(&self, steps: usize) -> PathBuf {
        self.out.join(FOLDER).join(name(steps))
    }

    /// Begins to write one. One that is still being written is waited for first.
    ///
    /// # Errors
    ///
    /// What the one before came to, if it was not written.
    pub fn save(&mut self, snapshot: Snapshot, is_best: bool) -> Result<Option<Written>, String> {
        let before = self.wait();
        let steps = snapshot.state.progress.steps;
        if is_best {
            self.best = Some(steps);
        }
        self.last = Some(steps);
        let (folder, out) = (self.folder(steps), self.out.clone());
        let (keep, best) = (self.keep, self.best.filter(|_| self.keep.best));
        self.writing = Some(std::thread::spawn(move || {
            snapshot.write(&folder)?;
            let left = prune(&out, keep, best).err();
            Ok(Written { folder, left })
        }));
        before
    }

    /// What came of the one that is being written, if it is done.
    ///
    /// # Errors
    ///
    /// Why it was not written.
    pub fn poll(&mut self) -> Result<Option<Written>, String> {
        match self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            true => self.wait(),
            false => Ok(None),
        }
    }

    /// Waits for the one that is being written: where it lies, if there was one.
    ///
    /// # Errors
    ///
    /// Why it was not written.
    pub fn wait(&mut self) -> Result<Option<Written>, String> {
        let Some(writing) = self.writing.take() else {
            return Ok(None);
        };
        let result = writing
            .join()
            .unwrap_or_else(|_| Err("the thread that writes checkpoints failed".to_owned()));
        if result.is_err() {
            self.last = None;
        }
        result.map(Some)
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        // Nobody is left to hear of it.
        let _ = self.wait();
    }
}

/// What a checkpoint is called that is only tried.
pub(super) const TRIAL: &str = "trial";

/// Writes a snapshot as a checkpoint of the run in `out` would be, and removes it again. What a run that
/// keeps `keep` will lack on the disk, in words, if it will.
///
/// # Errors
///
/// Why it cannot be written.
pub fn try_out(out: &Path, keep: Keep, snapshot: Snapshot) -> Result<Option<String>, String> {
    let words = |error: WriteError| error.to_string();
    tidy(out).map_err(words)?;
    let place = out.join(FOLDER);
    let is_new = !place.exists();
    let folder = place.join(TRIAL);
    let written = snapshot.write(&folder);
    let (size, removed) = match folder.exists() {
        true => (bytes_in(&folder).map_err(words)?, remove(&folder)),
        false => (0, Ok(())),
    };
    if is_new {
        // Only if there is nothing in it.
        let _ = std::fs::remove_dir(&place);
    }
    written.and(removed.map_err(words))?;
    // Those that are kept, the next one while it is written, and the result.
    let kept = (keep.last as u64).saturating_add(u64::from(keep.best) + 2);
    let needed = size.saturating_mul(kept);
    let free = fs4::available_space(out).unwrap_or(u64::MAX);
    Ok((free < needed).then(|| {
        format!(
            "{}: {} are free, and the checkpoints that are kept, one more while it is written, and the \
             result take about {}: later ones will not be written; free some, or lower --keep-last",
            out.display(),
            human(free),
            human(needed)
        )
    }))
}

/// Removes all checkpoints but those to keep.
///
/// # Errors
///
/// All that cannot be removed, and why.
fn prune(out: &Path, keep: Keep, best: Option<usize>) -> Result<(), String> {
    let mut older = of_run(out).map_err(|error| error.to_string())?;
    let kept = older.len().saturating_sub(keep.last.max(1));
    older.truncate(kept);
    older.retain(|(steps, _)| Some(*steps) != best);
    let failed = |(_, folder): (usize, PathBuf)| remove(&folder).err();
    let failed: Vec<_> = older.into_iter().filter_map(failed).collect();
    let words: Vec<_> = failed.iter().map(ToString::to_string).collect();
    match words.is_empty() {
        true => Ok(()),
        false => Err(words.join("; ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::LIST;
    use super::*;
    use std::fs;

    #[test]
    fn one_that_cannot_be_removed_keeps_no_other() {
        let out = tempfile::tempdir().unwrap();
        let folder = |steps| out.path().join(FOLDER).join(name(steps));
        for steps in 1..=4 {
            fs::create_dir_all(folder(steps)).unwrap();
        }
        // No list is a folder.
        fs::create_dir(folder(1).join(LIST)).unwrap();
        let keep = Keep {
            last: 1,
            best: true,
        };
        let error = prune(out.path(), keep, Some(2)).unwrap_err();
        assert!(error.contains("step-1"), "{error}");
        let left = [1, 2, 3, 4].map(|steps| folder(steps).exists());
        assert_eq!(left, [true, true, false, true]);
    }
}
