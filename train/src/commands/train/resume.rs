//! Going on with a run that was stopped.

use super::{FINISHED, changed};
use crate::checkpoint::{CheckpointError, Found, find, locate};
use crate::commands::CommandError;
use crate::commands::adapter::{ADAPTER, MODEL};
use crate::config::{self, TrainArgs, TrainConfig};
use crate::data::Cursor;
use crate::lock::Lock;
use std::collections::BTreeMap;
use std::path::Path;

/// Settings that change nothing of what a run learns: files are known by what is in them.
pub(super) const FREE: [&str; 11] = [
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

/// Settings that say what trains: the values and moments of a checkpoint are of no other.
const SHAPING: [&str; 8] = [
    "method",
    "block_axis",
    "rank",
    "mini_width",
    "targets",
    "exclude",
    "layers",
    "train_parts",
];

/// What the model's files are called where they differ.
pub(super) const BASE: &str = "base";
/// What the rows are called.
pub(super) const ROWS: &str = "rows";
/// What is run on.
pub(super) const DEVICE: &str = "device";

/// A run that is gone on with.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) found: Found,
    /// What may differ.
    allowed: Vec<String>,
    /// What does, of its settings: a name, and what is said of it.
    differences: Vec<(String, String)>,
    /// Whether a file is looked for elsewhere.
    moved: bool,
}

/// The checkpoint that `path` names, and the settings of its run with those that were given.
///
/// The run's folder is taken before it is looked at: nobody else goes on with it meanwhile.
pub(super) fn open(path: &Path, args: &TrainArgs) -> Result<Opened, CommandError> {
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
    // One that has no checkpoint yet may be somebody's.
    let located = locate(path).map_err(|none| match Lock::owner(path) {
        Some(taken) => CommandError::from(taken),
        None => none.into(),
    });
    let lock = Lock::take(&located?.out)?;
    let mut found = find(path).map_err(offered)?;
    let note = changed::lay_over(&mut found)?;
    let source = found.at.folder.join(crate::checkpoint::STATE);
    let gone = config::resolve_over(args, &found.state.config, &source, &found.at.out)?;
    let differences = gone.now.differences(&gone.before).into_iter();
    let differences = differences
        .filter(|(key, ..)| !FREE.contains(key) && !gone.superseded.contains(key))
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
        moved: gone.moved,
    };
    Ok(Opened {
        resumed,
        config: gone.now,
        lock,
        note,
    })
}

/// A damaged checkpoint, with what the run was changed to where another is offered.
fn offered(error: CheckpointError) -> CommandError {
    let whole = match &error {
        CheckpointError::Damaged { whole, .. } => whole.as_deref(),
        CheckpointError::None { .. } => None,
    };
    let at = whole.and_then(|whole| locate(whole).ok());
    match at.and_then(|at| changed::carried(&at.out, &at.folder)) {
        Some(arguments) => CommandError::Offered {
            source: error,
            arguments: arguments.to_string(),
        },
        None => error.into(),
    }
}

/// A run to go on with.
pub(super) struct Opened {
    pub(super) resumed: Resumed,
    pub(super) config: TrainConfig,
    pub(super) lock: Lock,
    /// What a person should know.
    pub(super) note: Option<String>,
}

impl Resumed {
    /// Whether the run came to its end, and nothing that is given now would make it another. Who names a
    /// checkpoint wants what came after it anew.
    pub(super) fn is_finished(&self) -> bool {
        let out = &self.found.at.out;
        let has_result = [ADAPTER, MODEL].iter().any(|name| out.join(name).exists());
        let is_same = self.differences.is_empty() && !self.moved && !self.found.at.named;
        is_same && has_result && out.join(FINISHED).exists()
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
    /// Everything that differs and was not named as wanted, and a length that is none.
    pub(super) fn check(
        &self,
        base: &BTreeMap<String, String>,
        rows: &str,
        device: &str,
        length: Length,
    ) -> Result<(), CommandError> {
        let state = &self.found.state;
        let mut all = self.differences.clone();
        let mut add = |key: &str, differs: bool, what: String| {
            if differs && !all.iter().any(|(other, _)| other == key) {
                all.push((key.to_owned(), what));
            }
        };
        // The name of a file is no part of what is in it.
        fn hashes(files: &BTreeMap<String, String>) -> Vec<&String> {
            let mut hashes: Vec<_> = files.values().collect();
            hashes.sort();
            hashes
        }
        add(
            BASE,
            hashes(&state.base) != hashes(base),
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
        let is_wanted =
            |key: &String| self.allowed.contains(key) && !SHAPING.contains(&key.as_str());
        all.retain(|(key, _)| !is_wanted(key));
        if all.is_empty() {
            return self.check_length(length);
        }
        let said: String = all.iter().map(|(_, what)| format!("\n  {what}")).collect();
        let (shaping, others): (Vec<_>, Vec<_>) = all
            .iter()
            .map(|(key, _)| key.as_str())
            .partition(|key| SHAPING.contains(key));
        let fix = match shaping.is_empty() {
            true => format!(
                "go on all the same with --allow-change {}",
                others.join(",")
            ),
            false => format!(
                "{} cannot change within a run: leave out what was given, or begin a new run",
                shaping.join(", ")
            ),
        };
        Err(CommandError::Usage(format!(
            "--resume {}: the run was another one:{said}\n{fix}",
            self.found.at.folder.display()
        )))
    }

    /// Checks that it is known where the run ends, and that this is ahead.
    fn check_length(&self, length: Length) -> Result<(), CommandError> {
        let state = &self.found.state;
        let steps = state.progress.steps;
        let (before, now) = (state.steps_per_epoch, length.steps_per_epoch);
        if let (Some(epochs), true) = (length.epochs, before != now) {
            let Cursor { epoch, step } = self.place(now);
            let done = epoch * now + step;
            let ahead = length
                .total_steps
                .saturating_sub(usize::try_from(done).unwrap_or(0));
            return Err(CommandError::Usage(format!(
                "--resume {}: an epoch was {before} steps and is {now} now, so that epochs {epochs} does not say \
                 any more how many steps the run has, nor its schedule; say it with --max-steps and name \
                 max_steps in --allow-change: {} end where {epochs} epochs of the data do",
                self.found.at.folder.display(),
                steps + ahead
            )));
        }
        if steps > length.total_steps {
            return Err(CommandError::Usage(format!(
                "max_steps: the run has done {steps} steps, and {} would be all; take more, or go on from \
                 an earlier checkpoint",
                length.total_steps
            )));
        }
        Ok(())
    }
}

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    pub(super) total_steps: usize,
    pub(super) steps_per_epoch: u64,
    /// Where they decide: `total_steps` are theirs.
    pub(super) epochs: Option<f64>,
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
