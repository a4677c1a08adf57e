//! Going on with a run that was stopped.

use super::FINISHED;
use crate::checkpoint::{Found, find};
use crate::commands::CommandError;
use crate::config::{self, TrainArgs, TrainConfig};
use std::path::Path;

/// Settings that change nothing of what a run learns.
const FREE: [&str; 7] = [
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
pub(super) fn open(path: &Path, args: &TrainArgs) -> Result<(Resumed, TrainConfig), CommandError> {
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
    let found = find(path)?;
    let source = found.folder.join(crate::checkpoint::STATE);
    let gone = config::resolve_over(args, &found.state.config, &source, &found.out)?;
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
    Ok((resumed, gone.now))
}

impl Resumed {
    /// Whether the run came to its end, and nothing that is given now would make it longer.
    pub(super) fn is_finished(&self) -> bool {
        self.differences.is_empty() && self.found.out.join(FINISHED).exists()
    }

    /// Checks what the run is now against what it was: its model's files, its rows, its device.
    ///
    /// # Errors
    ///
    /// Everything that differs and was not named as wanted.
    pub(super) fn check(&self, base: &str, rows: &str, device: &str) -> Result<(), CommandError> {
        let state = &self.found.state;
        let mut all = self.differences.clone();
        let mut add = |key: &str, differs: bool, what: String| {
            if differs && !all.iter().any(|(other, _)| other == key) {
                all.push((key.to_owned(), what));
            }
        };
        add(
            BASE,
            state.base != base,
            "base: the files of the model, or of the adapter it started from, are others now"
                .into(),
        );
        add(
            ROWS,
            state.data != rows,
            "rows: the data's rows are others now, or are read otherwise".into(),
        );
        add(
            DEVICE,
            state.device != device,
            format!("device was {} and is {device} now", state.device),
        );
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
            self.found.folder.display(),
            keys.join(",")
        )))
    }
}
