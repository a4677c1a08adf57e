//! Going on with a run that was stopped.

use super::FINISHED;
use crate::checkpoint::{Found, find, locate};
use crate::commands::CommandError;
use crate::config::{self, TrainArgs, TrainConfig};
use crate::data::Cursor;
use crate::lock::Lock;
use std::collections::BTreeMap;
use std::path::Path;

/// Settings that change nothing of what a run learns: files are known by what is in them.
const FREE: [&str; 11] = [
    "model",
    "adapter",
    "data",
    "out",
    "overwrite",
    "eval_every",
    "save_every",
    "save_minutes",
    "keep_last",
    "keep_best",
    "shake_down",
];

/// What the model's files are called where they differ.
const BASE: &str = "base";
/// What the rows are called.
const ROWS: &str = "rows";
/// What is run on.
const DEVICE: &str = "device";

/// A run that is gone on with.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) found: Found,
    /// What may differ.
    allowed: Vec<String>,
    /// What does, of its settings: a name, and what is said of it.
    differences: Vec<(String, String)>,
}

/// The checkpoint that `path` names, and the settings of its run with those that were given.
///
/// The run's folder is taken before it is looked at: nobody else goes on with it meanwhile.
pub(super) fn open(
    path: &Path,
    args: &TrainArgs,
) -> Result<(Resumed, TrainConfig, Lock), CommandError> {
    let wanted = |key: &&String| {
        let own = [BASE, ROWS, DEVICE];
        !own.contains(&key.as_str()) && !config::is_key(key)
    };
    let unknown: Vec<_> = args.allow_change.iter().filter(wanted).cloned().collect();
    if !unknown.is_empty() {
        return Err(CommandError::Usage(format!(
            "--allow-change: {}: no setting is called so; it takes the names of `bone train --help`, with _ \
             for -, and {BASE} and {ROWS}",
            unknown.join(", ")
        )));
    }
    let lock = Lock::take(&locate(path)?.out)?;
    let found = find(path)?;
    let source = found.at.folder.join(crate::checkpoint::STATE);
    let gone = config::resolve_over(args, &found.state.config, &source, &found.at.out)?;
    let differences = gone.now.differences(&gone.before).into_iter();
    let differences =
        differences
            .filter(|(key, ..)| !FREE.contains(key))
            .map(|(key, there, here)| {
                (
                    key.to_owned(),
                    format!("{key} was {there} and is {here} now"),
                )
            });
    let resumed = Resumed {
        found,
        allowed: args.allow_change.clone(),
        differences: differences.collect(),
    };
    Ok((resumed, gone.now, lock))
}

impl Resumed {
    /// Whether the run came to its end, and nothing that is given now would make it another. Who names a
    /// checkpoint wants what came after it anew.
    pub(super) fn is_finished(&self) -> bool {
        let finished = self.found.at.out.join(FINISHED).exists();
        !self.found.at.named && self.differences.is_empty() && finished
    }

    /// Where in the data the run goes on, when an epoch has so many steps.
    pub(super) fn place(&self, steps_per_epoch: u64) -> Cursor {
        let state = &self.found.state;
        let Cursor { epoch, step } = state.progress.next;
        let before = state.steps_per_epoch.max(1);
        if before == steps_per_epoch {
            return Cursor { epoch, step };
        }
        // Batches of another size: as far through the epoch as it was.
        let step = u128::from(step) * u128::from(steps_per_epoch) / u128::from(before);
        Cursor {
            epoch,
            step: u64::try_from(step).unwrap_or(steps_per_epoch),
        }
    }

    /// Checks what the run is now against what it was: its model's files, its rows, its device.
    ///
    /// # Errors
    ///
    /// Everything that differs and was not named as wanted.
    pub(super) fn check(
        &self,
        base: &BTreeMap<String, String>,
        rows: &str,
        device: &str,
        total_steps: usize,
    ) -> Result<(), CommandError> {
        let state = &self.found.state;
        let mut all = self.differences.clone();
        let mut add = |key: &str, differs: bool, what: String| {
            if differs && !all.iter().any(|(other, _)| other == key) {
                all.push((key.to_owned(), what));
            }
        };
        add(
            BASE,
            state.base != *base,
            format!("base: {}", changes(&state.base, base)),
        );
        add(
            ROWS,
            state.data != rows,
            format!(
                "rows: the data's rows are others now, or are read otherwise: {} then, {rows} now",
                state.data
            ),
        );
        add(
            DEVICE,
            state.device != device,
            format!("device was {} and is {device} now", state.device),
        );
        if state.progress.steps > total_steps {
            return Err(CommandError::Usage(format!(
                "max_steps: the run has done {} steps, and {total_steps} would be all; take more, or go on from \
                 an earlier checkpoint",
                state.progress.steps
            )));
        }
        let refused: Vec<_> = all
            .iter()
            .filter(|(key, _)| !self.allowed.contains(key))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let said: String = refused
            .iter()
            .map(|(_, what)| format!("\n  {what}"))
            .collect();
        let keys: Vec<_> = refused.iter().map(|(key, _)| key.as_str()).collect();
        Err(CommandError::Usage(format!(
            "--resume {}: the run was another one:{said}\ngo on all the same with --allow-change {}",
            self.found.at.folder.display(),
            keys.join(",")
        )))
    }
}

/// Which files differ, in words.
fn changes(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let changed = |name: &&String| now.get(*name).is_some_and(|hash| *hash != before[*name]);
    let kinds = [
        ("changed", before.keys().filter(changed).collect::<Vec<_>>()),
        (
            "gone",
            before
                .keys()
                .filter(|name| !now.contains_key(*name))
                .collect(),
        ),
        (
            "new",
            now.keys()
                .filter(|name| !before.contains_key(*name))
                .collect(),
        ),
    ];
    let kinds = kinds.into_iter().filter(|(_, names)| !names.is_empty());
    let said = kinds.map(|(kind, names)| {
        let names: Vec<_> = names.into_iter().map(String::as_str).collect();
        format!("{kind} {}", names.join(", "))
    });
    said.collect::<Vec<_>>().join("; ")
}
