//! Writing checkpoints in the background while the run trains.

use super::find::{TRIAL, name, tidy};
use super::keep::{Keep, best_of, prune};
use super::unit::{Unit, entries, may_die, remove};
use super::{STATE, State, TENSORS, tensors_to_bytes};
use crate::disk::explained;
use crate::layout::CHECKPOINTS;
use crate::optimizer::Trained;
use crate::run::RunError;
use crate::run::prepare::Product;
use bone_data::human;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// What happened to a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was written to this folder.
    Saved(PathBuf),
    /// It was not written; the reason as text.
    NotSaved(String),
    /// Older checkpoints could not be removed; the reason as text.
    NotRemoved(String),
}

/// A copy of the run at one step. Further training does not change it.
pub(crate) struct Snapshot {
    /// Progress of the run.
    pub(crate) state: State,
    /// Trained values and the optimizer's moments.
    pub(crate) trained: BTreeMap<String, Trained>,
    /// The result so far.
    pub(crate) product: Product,
}

impl Snapshot {
    /// Writes the complete checkpoint, or nothing.
    ///
    /// # Errors
    ///
    /// A message that says what is wrong. The disk is unchanged.
    fn write(self, folder: &Path) -> Result<(), String> {
        let tensors = tensors_to_bytes(&self.trained).map_err(|why| format!("not saved: {why}"))?;
        let state = serde_json::to_vec_pretty(&self.state).map_err(|error| error.to_string())?;
        // The result is about as large as the trained values without the moments.
        let needed = tensors.len() + tensors.len() / 3 + state.len();
        let write = || -> Result<(), RunError> {
            let unit = Unit::begin(folder)?;
            unit.write(TENSORS, &tensors)?;
            unit.write(STATE, &state)?;
            (self.product.write)(&unit.path().join(self.product.name))?;
            may_die();
            Ok(unit.finish()?)
        };
        let takes = ("a checkpoint", needed as u64, FILES);
        write().map_err(|error| explained(&error, takes, folder))
    }
}

/// Files and folders of a checkpoint.
const FILES: u64 = 8;

/// Writes the checkpoints of a run, one at a time, and removes older ones, on separate threads.
///
/// A new checkpoint replaces an older one only once the new one is known to be good
/// ([`trust`](Self::trust)). Weights may be finite but useless, which only the next step shows.
#[derive(Debug)]
pub(crate) struct Saver {
    out: PathBuf,
    keep: Keep,
    writing: Option<JoinHandle<Result<PathBuf, String>>>,
    /// The checkpoint that was started last.
    last: Option<usize>,
    /// Whether older checkpoints are still to be removed, and whether that is allowed yet.
    crowded: bool,
    trusted: bool,
    removing: Option<JoinHandle<Result<(), String>>>,
}

impl Saver {
    /// Returns a saver for the run in `out`, resumed after `resumed` steps, if any. Removes the unfinished
    /// folders of a killed run.
    ///
    /// # Errors
    ///
    /// Something cannot be removed or read.
    pub(crate) fn new(out: &Path, keep: Keep, resumed: Option<usize>) -> Result<Self, RunError> {
        tidy(out)?;
        Ok(Self {
            out: out.to_path_buf(),
            keep,
            writing: None,
            last: resumed,
            // The run may have stopped before it removed the older checkpoints.
            crowded: resumed.is_some(),
            trusted: false,
            removing: None,
        })
    }

    /// Returns whether the checkpoint after `steps` steps is saved or being saved.
    pub(crate) fn has(&self, steps: usize) -> bool {
        self.last == Some(steps)
    }

    /// Starts to write a snapshot after the one before is written. Returns the outcome of the earlier ones.
    pub(crate) fn save(&mut self, snapshot: Snapshot) -> Vec<Outcome> {
        let before = self.news(true);
        let steps = snapshot.state.progress.steps;
        (self.last, self.trusted) = (Some(steps), false);
        let folder = self.out.join(CHECKPOINTS).join(name(steps));
        let write = move || snapshot.write(&folder).map(|()| folder);
        self.writing = Some(std::thread::spawn(write));
        before
    }

    /// Allows the removal of older checkpoints: the checkpoint started last is known to be good.
    pub(crate) fn trust(&mut self) {
        self.trusted = true;
        self.make_room();
    }

    /// Starts to remove all checkpoints except those to keep.
    fn make_room(&mut self) {
        let is_idle = self.writing.is_none() && self.removing.is_none();
        if is_idle && self.crowded && self.trusted {
            self.crowded = false;
            let (out, keep) = (self.out.clone(), self.keep);
            self.removing = Some(std::thread::spawn(move || {
                let best = best_of(&out).map_err(|error| error.to_string())?;
                prune(&out, keep, best.map(|best| best.step))
            }));
        }
    }

    /// Returns the outcomes since the last call; if `waits`, waits for all checkpoints first.
    pub(crate) fn news(&mut self, waits: bool) -> Vec<Outcome> {
        let mut news = Vec::new();
        if let Some(written) = joined(&mut self.writing, waits, "writes") {
            self.crowded |= written.is_ok();
            self.last = self.last.filter(|_| written.is_ok());
            news.push(written.map_or_else(Outcome::NotSaved, Outcome::Saved));
        }
        self.make_room();
        if let Some(Err(why)) = joined(&mut self.removing, waits, "removes") {
            news.push(Outcome::NotRemoved(why));
        }
        news
    }
}

/// Returns the outcome of a `thread` that has ended, or of any thread if `waits`.
fn joined<T>(
    thread: &mut Option<JoinHandle<Result<T, String>>>,
    waits: bool,
    verb: &str,
) -> Option<Result<T, String>> {
    let thread = thread.take_if(|thread| waits || thread.is_finished())?;
    let failed = |_| Err(format!("the thread that {verb} checkpoints failed"));
    Some(thread.join().unwrap_or_else(failed))
}

impl Drop for Saver {
    fn drop(&mut self) {
        // The outcomes have no receiver any more.
        let _ = self.news(true);
    }
}

/// Writes a snapshot as a trial checkpoint of the run in `out`, then removes it. Returns a message if the
/// disk lacks space for a run that keeps `keep`.
///
/// # Errors
///
/// A message that says why it cannot be written.
pub(crate) fn try_out(
    out: &Path,
    keep: Keep,
    snapshot: Snapshot,
) -> Result<Option<String>, RunError> {
    tidy(out)?;
    let place = out.join(CHECKPOINTS);
    let folder = place.join(TRIAL);
    let measure = || -> Result<u64, RunError> {
        snapshot.write(&folder).map_err(RunError::Data)?;
        let files = entries(&folder)?.into_iter();
        let sizes = files.filter_map(|path| path.metadata().ok());
        let size = sizes.map(|metadata| metadata.len()).sum();
        remove(&folder)?;
        Ok(size)
    };
    let measured = measure();
    // This removes only an empty folder.
    let _ = std::fs::remove_dir(&place);
    // Counts the kept checkpoints, the next one while it is written, and the result.
    let kept = (keep.last as u64).saturating_add(u64::from(keep.best) + 2);
    let needed = measured?.saturating_mul(kept);
    let free = fs4::available_space(out).unwrap_or(u64::MAX);
    Ok((free < needed).then(|| {
        format!(
            "{}: {} are free, but the kept checkpoints, a new one and the result need about {}. Later \
             checkpoints will fail; free some space, or lower --keep-last",
            out.display(),
            human(free),
            human(needed)
        )
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::find::all;
    use super::*;
    use crate::trainer::Progress;

    /// Returns a snapshot after `steps` steps, with the loss of an evaluation, if any.
    fn snapshot(steps: usize, loss: Option<f64>, is_written: bool) -> Snapshot {
        let progress = Progress {
            steps,
            evaluated: loss.map(|_| steps),
            last_validation: loss,
            ..Progress::default()
        };
        let trained = BTreeMap::new();
        Snapshot {
            state: State::default().at(progress, &trained),
            trained,
            product: Product {
                name: "adapter",
                write: Box::new(move |_| match is_written {
                    true => Ok(()),
                    false => Err(RunError::Data("no room".into())),
                }),
            },
        }
    }

    fn left(out: &Path) -> Vec<usize> {
        let all = all(out).unwrap();
        all.into_iter().map(|(steps, _)| steps).collect()
    }

    #[test]
    fn older_checkpoint_is_removed_after_newer_is_trusted() {
        let out = tempfile::tempdir().unwrap();
        let keep = Keep {
            last: 1,
            best: true,
        };
        let mut saver = Saver::new(out.path(), keep, None).unwrap();
        let folder = |steps| out.path().join(CHECKPOINTS).join(name(steps));
        let saved = |steps| [Outcome::Saved(folder(steps))];
        assert_eq!(saver.save(snapshot(1, Some(3.0), true)), []);
        assert_eq!(saver.news(true), saved(1));
        // A better checkpoint that cannot be written does not remove the best one.
        saver.save(snapshot(2, Some(1.0), false));
        assert_eq!(saver.news(true), [Outcome::NotSaved("no room".to_owned())]);
        assert!(!saver.has(2));
        saver.save(snapshot(3, Some(4.0), true));
        saver.trust();
        saver.news(true);
        assert_eq!(left(out.path()), [1, 3]);
        // Whether the checkpoint is good is unknown when it is saved, and known later.
        saver.save(snapshot(4, None, true));
        assert_eq!(saver.news(true), saved(4));
        assert_eq!(left(out.path()), [1, 3, 4]);
        saver.trust();
        assert_eq!(saver.news(true), []);
        assert_eq!(left(out.path()), [1, 4]);
        // The run trusted this one, not the one after it.
        saver.save(snapshot(5, Some(2.0), true));
        saver.news(true);
        assert_eq!(left(out.path()), [1, 4, 5]);
        saver.trust();
        saver.news(true);
        assert_eq!(left(out.path()), [5]);
    }
}
