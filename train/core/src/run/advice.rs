//! Advice after a run that diverged and lost its weights.

use super::checkpoint::{newest_whole, read_state};
use super::shell;
use crate::trainer::{MOST_SKIPPED, Progress, TrainError};
use std::path::{Path, PathBuf};

/// Returns advice for the run in `out` that ended with an error, if its numbers are not finite.
pub(super) fn after_steps(error: &TrainError, out: &Path) -> Option<String> {
    match error {
        TrainError::NonFinite { step, .. } => lower_rate(step - MOST_SKIPPED, out),
        _ => None,
    }
}

/// Returns advice for the finished run in `out`, if its held-out loss is not finite.
pub(super) fn at_the_end(progress: &Progress, out: &Path) -> Option<String> {
    if progress.last_validation?.is_finite() {
        return None;
    }
    lower_rate(progress.steps, out)
}

/// Returns the command that forks the newest checkpoint before step `suspect` with a tenth of the learning
/// rate. At the same rate the run would fail again.
fn lower_rate(suspect: usize, out: &Path) -> Option<String> {
    let Some(folder) = newest_whole(out, |steps, _| steps < suspect) else {
        return Some(
            "no checkpoint is older than the loss spike; start again with --overwrite and a lower \
             --learning-rate"
                .to_owned(),
        );
    };
    let config: toml::Table = read_state(&folder).ok()?.config.parse().ok()?;
    let rate = a_tenth(&config.get("learning_rate")?.to_string())?;
    Some(format!(
        "start a new run from the last good checkpoint with a lower learning rate:\n  bone train --resume \
         {} --out {} --learning-rate {rate}",
        shell::path(&folder),
        shell::path(&beside(out))
    ))
}

/// Returns an unused name beside `out` for a new run.
fn beside(out: &Path) -> PathBuf {
    let name = |n: usize| {
        let mut name = out.as_os_str().to_owned();
        name.push(format!("-{n}"));
        PathBuf::from(name)
    };
    let free = (2..).map(name).find(|path| !path.exists());
    free.unwrap_or_else(|| name(2))
}

/// Returns a tenth of a decimal number: 3e-6 for 3e-5, not 3.0000000000000005e-6.
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
    fn tenth_of_learning_rate_prints_short() {
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
