//! Continuing a run that was stopped.

use super::checkpoint::{self, CheckpointError, Found, STATE};
use super::lock::Lock;
use super::start::Start;
use super::{Host, Outcome, RunError, begin, shell};
use crate::config::TrainConfig;
use crate::layout::{ADAPTER, FINISHED, MODEL};
use crate::report::Event;
use std::path::{Path, PathBuf};

/// Continues the run in `path`, its output folder, from its newest checkpoint, with its own
/// settings. Returns `None` if the run is finished: then nothing is written.
///
/// # Errors
///
/// [`RunError`]. The run's folder is locked before anything in it is read.
pub fn resume(path: &Path, mut host: Host<'_>) -> Result<Option<Outcome>, RunError> {
    let at = match checkpoint::locate(path) {
        Ok(at) => at,
        Err(error) => return Err(Lock::owner(path).map_or(error.into(), RunError::from)),
    };
    let lock = Lock::take(&at.out)?;
    let found = checkpoint::find(path)?;
    newest_only(&found)?;
    let config = settings(&found)?;
    if let Some(result) = finished(&found) {
        let text = format!(
            "the run is finished; its result is {}. To train it further, start a new run from it:\n  \
             bone train --resume {} --out NEW --max-steps N",
            result.display(),
            shell::path(&found.at.out)
        );
        host.report(Event::Note(&text))?;
        return Ok(None);
    }
    begin(&config, Start::Resume(found), Some(lock), host).map(Some)
}

/// # Errors
///
/// A later checkpoint exists, which training from this one would replace.
fn newest_only(found: &Found) -> Result<(), RunError> {
    let all = checkpoint::all(&found.at.out).map_err(RunError::io(&found.at.out))?;
    let steps = found.state.progress.steps;
    match all.last() {
        Some((newest, _)) if *newest > steps => Err(CheckpointError::None {
            path: found.at.folder.clone(),
            reason: format!(
                "the run has a newer checkpoint, step-{newest}. To start a new run from step {steps}:\n  \
                 bone train --resume {} --out NEW",
                shell::path(&found.at.folder)
            ),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Reads the settings of the run, whose folder may have been moved.
fn settings(found: &Found) -> Result<TrainConfig, RunError> {
    let source = found.at.folder.join(STATE);
    Ok(TrainConfig::of_run(
        &found.state.config,
        &source,
        &found.at.out,
    )?)
}

/// Returns the result of a run that is finished.
fn finished(found: &Found) -> Option<PathBuf> {
    let out = &found.at.out;
    let mut results = [ADAPTER, MODEL].map(|name| out.join(name)).into_iter();
    let result = results.find(|result| result.exists())?;
    out.join(FINISHED).exists().then_some(result)
}
