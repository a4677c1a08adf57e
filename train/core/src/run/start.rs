//! The starting point of a run, and the check of its inputs against the checkpoint.

use super::RunError;
use super::checkpoint::{Found, State};
use super::identity::Identity;
use crate::config::TrainConfig;
use crate::trainer::Progress;
use bone_data::{Cursor, joined};
use std::collections::BTreeMap;

/// Starting point of a run.
#[derive(Debug)]
pub(super) enum Start {
    /// Step 0.
    New,
    /// The newest checkpoint of the same run.
    Resume(Found),
    /// A checkpoint of another run; the run is new.
    Fork(Found),
}

impl Start {
    /// Returns the checkpoint that the run starts from.
    pub(super) fn found(&self) -> Option<&Found> {
        match self {
            Self::New => None,
            Self::Resume(found) | Self::Fork(found) => Some(found),
        }
    }

    /// Returns the checkpoint of a resumed run.
    pub(super) fn resumed(&self) -> Option<&Found> {
        match self {
            Self::Resume(found) => Some(found),
            Self::New | Self::Fork(_) => None,
        }
    }

    /// Compares the model's files with the checkpoint, and for a resumed run also the rows and the device.
    ///
    /// # Errors
    ///
    /// A list of everything that differs.
    pub(super) fn check(&self, now: &mut Identity) -> Result<(), RunError> {
        let Some(Found { at, state }) = self.found() else {
            return Ok(());
        };
        let now = now.whole()?;
        let mut differs = Vec::new();
        let base_differs = hashes(&state.base) != hashes(&now.base);
        if base_differs {
            differs.push(format!("model files: {}", changes(&state.base, &now.base)));
        }
        let others = [
            ("training rows", &state.data, &now.data),
            ("device", &state.device, &now.device),
        ];
        let others = others.iter().filter(|_| self.resumed().is_some());
        for (what, before, now) in others.filter(|(_, before, now)| before != now) {
            differs.push(format!("{what}: {before} before, {now} now"));
        }
        if differs.is_empty() {
            return Ok(());
        }
        let fix = match base_differs {
            true => "use the model that the run started with",
            false => "to start a new run from it with this change, add `--out NEW`",
        };
        Err(RunError::Usage(format!(
            "--resume {}: these differ from the run you are resuming:\n  {}\n{fix}",
            at.folder.display(),
            joined(differs, "\n  ")
        )))
    }

    /// Returns the next step in the data.
    ///
    /// A fork with the same rows starts at the checkpoint's fraction of the epoch, whatever its batch size.
    /// A fork with other rows starts at the first row.
    pub(super) fn cursor(&self, now: &State) -> Cursor {
        match self {
            Self::New => Cursor::default(),
            Self::Resume(found) => found.state.progress.next,
            Self::Fork(found) if found.state.data == now.data => {
                scaled(&found.state, now.steps_per_epoch)
            }
            Self::Fork(_) => Cursor::default(),
        }
    }

    /// Returns the number of optimizer steps of the whole run. Epochs count from `cursor`. Steps count from
    /// the start of the forked run.
    ///
    /// # Errors
    ///
    /// No step is left.
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
            "--resume {}: it already has {done} steps, and the new run would end at step {total}; \
             raise --max-steps or --epochs",
            found.at.folder.display()
        )))
    }

    /// Returns the progress of the run before its first step.
    pub(super) fn progress(&self, new: Progress, cursor: Cursor) -> Progress {
        match self {
            Self::New => new,
            Self::Resume(found) => found.state.progress.clone(),
            Self::Fork(found) => found.state.progress.forked(cursor, new.loss_scale),
        }
    }

    /// Returns a line that names the starting point of the run.
    pub(super) fn line(&self, total_steps: usize, cursor: Cursor) -> Option<String> {
        let Found { at, state } = self.found()?;
        let (steps, folder) = (state.progress.steps, at.folder.display());
        Some(match self {
            Self::Fork(_) => format!(
                "new run from step {steps} of {folder}; its data continues at epoch {}, step {}",
                cursor.epoch, cursor.step
            ),
            _ => format!("resumed at step {steps} of {total_steps}: {folder}"),
        })
    }
}

/// Returns the same position in an epoch of `steps_per_epoch` steps.
fn scaled(state: &State, steps_per_epoch: u64) -> Cursor {
    let Cursor { epoch, step } = state.progress.next;
    let before = u128::from(state.steps_per_epoch.max(1));
    let step = u128::from(step) * u128::from(steps_per_epoch) / before;
    Cursor {
        epoch,
        step: u64::try_from(step).unwrap_or(steps_per_epoch),
    }
}

/// Returns the hashes of files without their names: the files may have been renamed.
fn hashes(files: &BTreeMap<String, String>) -> Vec<&String> {
    let mut hashes: Vec<_> = files.values().collect();
    hashes.sort();
    hashes
}

/// Returns a text that lists which files differ.
fn changes(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let known = before.keys().map(|name| match now.get(name) {
        None => format!("missing {name}"),
        Some(hash) if *hash != before[name] => format!("changed {name}"),
        Some(_) => String::new(),
    });
    let new = now.keys().filter(|name| !before.contains_key(*name));
    let all = known.chain(new.map(|name| format!("new {name}")));
    joined(all.filter(|change| !change.is_empty()), ", ")
}
