//! Writing checkpoints while the run goes on.

use super::find::{name, tidy};
use super::keep::{Keep, best_of, prune};
use super::unit::{Unit, bytes_in, remove};
use super::{STATE, State, TENSORS, WriteError, tensors_to_bytes};
use crate::disk::explained;
use crate::layout::CHECKPOINTS;
use crate::memory::human;
use crate::optimizer::Trained;
use crate::trainer::Best;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Writes the result so far into a checkpoint that is being filled.
pub type WriteResult = Box<dyn FnOnce(&Unit) -> Result<(), Box<dyn Error + Send + Sync>> + Send>;

/// What came of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It lies there.
    Saved(PathBuf),
    /// Why it was not written, in words.
    NotSaved(String),
    /// Why older ones that made room for it could not be removed, in words.
    NotRemoved(String),
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
///
/// A new one takes the place of an older only when it is known to be good ([`trust`](Self::trust)): weights may be
/// finite and lost all the same, which the next step shows.
#[derive(Debug)]
pub struct Saver {
    out: PathBuf,
    keep: Keep,
    writing: Option<Writing>,
    removing: Option<JoinHandle<Result<(), String>>>,
    /// The best that is there.
    best: Option<Best>,
    /// The checkpoint that was begun last.
    last: Option<usize>,
    /// Whether older ones have not made room for it yet, and whether they may.
    crowded: bool,
    trusted: bool,
}

#[derive(Debug)]
struct Writing {
    thread: JoinHandle<Result<PathBuf, String>>,
    evaluated: Option<Best>,
}

impl Saver {
    /// A saver for the run in `out`, which goes on from the checkpoint after `resumed` steps if there is
    /// one. What a run that was killed has left unfinished is removed.
    ///
    /// # Errors
    ///
    /// What cannot be removed or read.
    pub fn new(out: &Path, keep: Keep, resumed: Option<usize>) -> Result<Self, String> {
        tidy(out).map_err(|error| error.to_string())?;
        let best = match keep.best {
            true => best_of(out).map_err(|error| error.to_string())?,
            false => None,
        };
        Ok(Self {
            out: out.to_path_buf(),
            keep,
            writing: None,
            removing: None,
            best,
            last: resumed,
            // It may have been stopped before the older ones made room.
            crowded: resumed.is_some(),
            trusted: false,
        })
    }

    /// Whether the run after so many steps is saved already, or on its way.
    pub fn has(&self, steps: usize) -> bool {
        self.last == Some(steps)
    }

    /// The folder of the checkpoint after so many steps.
    pub fn folder(&self, steps: usize) -> PathBuf {
        self.out.join(CHECKPOINTS).join(name(steps))
    }

    /// Begins to write one. One that is still being written is waited for first: what came of it.
    pub fn save(&mut self, snapshot: Snapshot) -> Vec<Outcome> {
        let before = self.wait();
        let progress = &snapshot.state.progress;
        let (steps, evaluated) = (progress.steps, progress.evaluation());
        (self.last, self.trusted) = (Some(steps), false);
        let folder = self.folder(steps);
        let thread = std::thread::spawn(move || snapshot.write(&folder).map(|()| folder));
        self.writing = Some(Writing { thread, evaluated });
        before
    }

    /// Takes the evaluation of a checkpoint that is there; one that is no number is none.
    pub fn evaluated(&mut self, evaluated: Best) {
        let is_number = evaluated.loss.is_finite();
        if is_number && self.best.is_none_or(|best| evaluated.loss < best.loss) {
            self.best = Some(evaluated);
        }
    }

    /// Lets older ones make room for the one that was begun last: the run is known to be as it should be.
    pub fn trust(&mut self) {
        self.trusted = true;
        self.make_room();
    }

    /// Removes all checkpoints but those to keep.
    fn make_room(&mut self) {
        let waits = self.writing.is_some() || self.removing.is_some();
        if waits || !self.crowded || !self.trusted {
            return;
        }
        self.crowded = false;
        let best = self.best.map(|best| best.step);
        let (out, keep) = (self.out.clone(), self.keep);
        self.removing = Some(std::thread::spawn(move || prune(&out, keep, best)));
    }

    /// What came of what is done since this was last asked.
    pub fn poll(&mut self) -> Vec<Outcome> {
        let mut news = Vec::new();
        if let Some(writing) = self.writing.take_if(|writing| writing.thread.is_finished()) {
            news.push(self.written(writing));
        }
        if let Some(removing) = self.removing.take_if(|removing| removing.is_finished()) {
            news.extend(removed(removing));
        }
        self.make_room();
        news
    }

    /// Waits for all that is being done: what came of it.
    pub fn wait(&mut self) -> Vec<Outcome> {
        let mut news = Vec::new();
        if let Some(writing) = self.writing.take() {
            news.push(self.written(writing));
        }
        self.make_room();
        if let Some(removing) = self.removing.take() {
            news.extend(removed(removing));
        }
        news
    }

    fn written(&mut self, writing: Writing) -> Outcome {
        match joined(writing.thread) {
            Ok(folder) => {
                self.crowded = true;
                if let Some(evaluated) = writing.evaluated {
                    self.evaluated(evaluated);
                }
                Outcome::Saved(folder)
            }
            Err(why) => {
                self.last = None;
                Outcome::NotSaved(why)
            }
        }
    }
}

fn joined<T>(thread: JoinHandle<Result<T, String>>) -> Result<T, String> {
    let result = thread.join();
    result.unwrap_or_else(|_| Err("the thread that writes checkpoints failed".to_owned()))
}

fn removed(thread: JoinHandle<Result<(), String>>) -> Option<Outcome> {
    joined(thread).err().map(Outcome::NotRemoved)
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
    let place = out.join(CHECKPOINTS);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::RunIdentity;
    use super::super::find::of_run;
    use super::*;
    use crate::trainer::Progress;

    /// The state after so many steps, with the loss of an evaluation or none.
    fn snapshot(steps: usize, loss: Option<f64>, is_written: bool) -> Snapshot {
        let progress = Progress {
            steps,
            evaluated: loss.map(|_| steps),
            last_validation: loss,
            ..Progress::default()
        };
        let trained = BTreeMap::new();
        Snapshot {
            state: State::new(progress, &trained, &RunIdentity::default()),
            trained,
            result: Box::new(move |_| match is_written {
                true => Ok(()),
                false => Err("no room".into()),
            }),
        }
    }

    fn left(out: &Path) -> Vec<usize> {
        let all = of_run(out).unwrap();
        all.into_iter().map(|(steps, _)| steps).collect()
    }

    #[test]
    fn an_older_one_makes_room_for_what_is_trusted() {
        let out = tempfile::tempdir().unwrap();
        let keep = Keep {
            last: 1,
            best: true,
        };
        let mut saver = Saver::new(out.path(), keep, None).unwrap();
        let saved = |saver: &Saver, steps| vec![Outcome::Saved(saver.folder(steps))];
        assert_eq!(saver.save(snapshot(1, Some(3.0), true)), []);
        assert_eq!(saver.wait(), saved(&saver, 1));
        // A better one that is not written costs the best there is nothing.
        saver.save(snapshot(2, Some(1.0), false));
        assert_eq!(saver.wait(), [Outcome::NotSaved("no room".to_owned())]);
        assert!(!saver.has(2));
        saver.save(snapshot(3, Some(4.0), true));
        saver.trust();
        saver.wait();
        assert_eq!(left(out.path()), [1, 3]);
        // Nothing is known of it, then something is.
        saver.save(snapshot(4, None, true));
        assert_eq!(saver.wait(), saved(&saver, 4));
        assert_eq!(left(out.path()), [1, 3, 4]);
        saver.trust();
        assert_eq!(saver.wait(), []);
        assert_eq!(left(out.path()), [1, 4]);
        // It was trusted, not the one after it.
        saver.save(snapshot(5, Some(2.0), true));
        saver.wait();
        assert_eq!(left(out.path()), [1, 4, 5]);
        saver.trust();
        saver.wait();
        assert_eq!(left(out.path()), [5]);
    }
}
