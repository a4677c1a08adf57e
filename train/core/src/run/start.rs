//! Where a run begins, and whether its inputs are those of the checkpoint.

use super::RunError;
use super::checkpoint::{Found, State};
use crate::config::TrainConfig;
use crate::trainer::Progress;
use bone_data::Cursor;
use std::collections::BTreeMap;

/// Where a run begins.
#[derive(Debug)]
pub(super) enum Start {
    /// At step 0.
    New,
    /// At the newest checkpoint of the run itself.
    Resume(Found),
    /// At a checkpoint of another run, as a new run.
    Fork(Found),
}

/// What a run trains on.
pub(super) struct Trained<'a> {
    /// The hash of each of the model's files.
    pub(super) base: &'a BTreeMap<String, String>,
    /// The hash of the rows.
    pub(super) rows: &'a str,
    pub(super) device: &'a str,
    pub(super) steps_per_epoch: u64,
}

impl Start {
    /// Returns the checkpoint it begins at.
    pub(super) fn found(&self) -> Option<&Found> {
        match self {
            Self::New => None,
            Self::Resume(found) | Self::Fork(found) => Some(found),
        }
    }

    /// Returns the checkpoint of the run that is resumed.
    pub(super) fn resumed(&self) -> Option<&Found> {
        match self {
            Self::Resume(found) => Some(found),
            Self::New | Self::Fork(_) => None,
        }
    }

    /// Checks the model's files, and for a resumed run the rows and the device, against the
    /// checkpoint.
    ///
    /// # Errors
    ///
    /// Everything that differs.
    pub(super) fn check(&self, now: &Trained<'_>) -> Result<(), RunError> {
        let Some(Found { at, state }) = self.found() else {
            return Ok(());
        };
        let mut differs = Vec::new();
        if hashes(&state.base) != hashes(now.base) {
            differs.push(format!("model files: {}", changes(&state.base, now.base)));
        }
        let base_differs = !differs.is_empty();
        if self.resumed().is_some() {
            if state.data != now.rows {
                differs.push(format!(
                    "training rows: {} before, {} now",
                    state.data, now.rows
                ));
            }
            if state.device != now.device {
                differs.push(format!(
                    "device: {} before, {} now",
                    state.device, now.device
                ));
            }
        }
        if differs.is_empty() {
            return Ok(());
        }
        let fix = match base_differs {
            true => "use the model that the run was started with",
            false => "to start a new run from it with this change, add `--out NEW`",
        };
        Err(RunError::Usage(format!(
            "--resume {}: what the run trains on has changed:\n  {}\n{fix}",
            at.folder.display(),
            differs.join("\n  ")
        )))
    }

    /// Returns the step of the data that comes next.
    ///
    /// A fork with the same rows is as far through the epoch as the checkpoint, whatever its
    /// batches; with other rows it begins with the first.
    pub(super) fn cursor(&self, now: &Trained<'_>) -> Cursor {
        match self {
            Self::New => Cursor::default(),
            Self::Resume(found) => found.state.progress.next,
            Self::Fork(found) if found.state.data == now.rows => {
                scaled(&found.state, now.steps_per_epoch)
            }
            Self::Fork(_) => Cursor::default(),
        }
    }

    /// Returns the optimizer steps of the whole run. Epochs count from `cursor`, steps from the
    /// run that was forked.
    ///
    /// # Errors
    ///
    /// None of them is left.
    pub(super) fn total_steps(
        &self,
        config: &TrainConfig,
        steps_per_epoch: u64,
        cursor: Cursor,
    ) -> Result<usize, RunError> {
        let found = match self {
            Self::New => return Ok(config.total_steps(steps_per_epoch, 0)),
            Self::Resume(found) => return Ok(found.state.total_steps),
            Self::Fork(found) => found,
        };
        let done = found.state.progress.steps;
        let position = cursor.epoch.saturating_mul(steps_per_epoch) + cursor.step;
        let ahead = i64::try_from(done).unwrap_or(0) - i64::try_from(position).unwrap_or(0);
        let total = config.total_steps(steps_per_epoch, ahead);
        if total > done {
            return Ok(total);
        }
        Err(RunError::Usage(format!(
            "--resume {}: it has {done} steps and this run would have {total}; give more with \
             --max-steps or --epochs",
            found.at.folder.display()
        )))
    }

    /// Returns how far the run is before its first step.
    pub(super) fn progress(&self, new: Progress, cursor: Cursor) -> Progress {
        match self {
            Self::New => new,
            Self::Resume(found) => found.state.progress.clone(),
            Self::Fork(found) => found.state.progress.forked(cursor, new.loss_scale),
        }
    }

    /// Returns a line that says where the run begins.
    pub(super) fn line(&self, total_steps: usize, cursor: Cursor) -> Option<String> {
        let Found { at, state } = self.found()?;
        let (steps, folder) = (state.progress.steps, at.folder.display());
        Some(match self {
            Self::New | Self::Resume(_) => {
                format!("resumed at step {steps} of {total_steps}: {folder}")
            }
            Self::Fork(_) => format!(
                "new run from step {steps} of {folder}; its data continue at epoch {}, step {}",
                cursor.epoch, cursor.step
            ),
        })
    }
}

/// Returns the same place in an epoch of `steps_per_epoch`.
fn scaled(state: &State, steps_per_epoch: u64) -> Cursor {
    let Cursor { epoch, step } = state.progress.next;
    let before = u128::from(state.steps_per_epoch.max(1));
    let step = u128::from(step) * u128::from(steps_per_epoch) / before;
    Cursor {
        epoch,
        step: u64::try_from(step).unwrap_or(steps_per_epoch),
    }
}

/// Returns the hashes of files, which may have been renamed.
fn hashes(files: &BTreeMap<String, String>) -> Vec<&String> {
    let mut hashes: Vec<_> = files.values().collect();
    hashes.sort();
    hashes
}

/// Returns which files differ, in words.
fn changes(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let names = |kind: &str, names: Vec<&String>| {
        let names: Vec<_> = names.into_iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| format!("{kind} {}", names.join(", ")))
    };
    let changed = |name: &&String| now.get(*name).is_some_and(|hash| *hash != before[*name]);
    let missing = |name: &&String| !now.contains_key(*name);
    let new = |name: &&String| !before.contains_key(*name);
    let kinds = [
        names("changed", before.keys().filter(changed).collect()),
        names("missing", before.keys().filter(missing).collect()),
        names("new", now.keys().filter(new).collect()),
    ];
    kinds.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
