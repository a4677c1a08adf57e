//! How to go on with a run that learned too fast.

use super::changed::{self, Arguments};
use crate::checkpoint::{State, all, newest_whole, read_state};
use crate::commands::error::go_on_with;
use crate::trainer::{MOST_SKIPPED, Progress, TrainError};
use std::path::Path;

/// What helps the run in `out` that ended with an error, if its numbers are not finite any more.
pub(super) fn after_steps(error: &TrainError, out: &Path) -> Option<String> {
    match error {
        TrainError::NonFinite { step, .. } => lower(step - MOST_SKIPPED, out),
        _ => None,
    }
}

/// What helps the run in `out` that came to its end, if its numbers are not finite.
pub(super) fn at_the_end(progress: &Progress, out: &Path) -> Option<String> {
    let loss = progress.last_validation?;
    match loss.is_finite() {
        true => None,
        false => lower(progress.steps, out),
    }
}

/// How to go on with the run in `out`, whose weights may be lost after so many steps: with the settings that it has,
/// it would come to the same again.
fn lower(suspect: usize, out: &Path) -> Option<String> {
    let newest = all(out).ok()?.pop();
    let Some(folder) = newest_whole(out, |steps, _| steps < suspect) else {
        return newest.map(|_| {
            "what its checkpoints have may be lost already: begin anew with --overwrite and a lower learning rate"
                .to_owned()
        });
    };
    let is_newest = newest.is_some_and(|(_, newest)| newest == folder);
    let state = read_state(&folder).ok()?;
    let changed = changed::carried(out, &folder).unwrap_or_default();
    let rate = match changed.value("learning_rate") {
        Some(rate) => rate.to_owned(),
        None => of_run(&state)?,
    };
    // Who goes on with the run has its changes, who names a checkpoint gives them again.
    let (name, from, arguments) = match is_newest {
        true => ("its newest checkpoint", out, Arguments::default()),
        false => ("an older checkpoint", folder.as_path(), changed),
    };
    let arguments = arguments.with("learning_rate", a_tenth(&rate)?);
    Some(format!(
        "go on from {name} with a lower learning rate, as in\n  {}{arguments}",
        go_on_with(from)
    ))
}

/// A run's learning rate.
fn of_run(state: &State) -> Option<String> {
    let table: toml::Table = state.config.parse().ok()?;
    table.get("learning_rate").map(ToString::to_string)
}

/// A tenth of a number: of 3e-5 it is 3e-6 and not 3.0000000000000005e-6.
fn a_tenth(number: &str) -> Option<String> {
    let tenth = number.parse::<f64>().ok()? / 10.0;
    let rounded: f64 = format!("{tenth:.3e}").parse().ok()?;
    Some(match (1e-4..1e6).contains(&rounded) {
        true => rounded.to_string(),
        false => format!("{rounded:e}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_written_as_a_person_writes_it() {
        for (number, tenth) in [
            ("3e-5", "3e-6"),
            ("0.00003", "3e-6"),
            ("0.01", "0.001"),
            ("1", "0.1"),
            ("1e30", "1e29"),
        ] {
            assert_eq!(a_tenth(number).unwrap(), tenth);
        }
    }
}
