//! Resuming a run that was stopped.

use super::checkpoint::{self, Found, STATE};
use super::lock::Lock;
use super::start::Start;
use super::{Host, Outcome, RunError, begin, shell};
use crate::config::TrainConfig;
use crate::layout::{ADAPTER, FINISHED, MODEL};
use crate::report::Event;
use std::path::Path;

/// Resumes the run in the output folder `path` from its newest checkpoint, with its own settings. Returns
/// `None` and writes nothing if the run is finished.
///
/// # Errors
///
/// [`RunError`]. The run's folder is locked before anything in it is read.
pub fn resume(path: &Path, host: Host<'_>) -> Result<Option<Outcome>, RunError> {
    let at = checkpoint::locate(path).map_err(|error| Lock::owner(path).unwrap_or(error))?;
    let lock = Lock::take(&at.out)?;
    let found = checkpoint::find(path)?;
    newest_only(&found)?;
    // The folder may have been moved.
    let (Found { at, state }, source) = (&found, found.at.folder.join(STATE));
    let config = TrainConfig::of_run(&state.config, &source, &at.out)?;
    let mut results = [ADAPTER, MODEL].map(|name| at.out.join(name)).into_iter();
    let result = results.find(|result| result.exists());
    if let Some(result) = result.filter(|_| at.out.join(FINISHED).exists()) {
        let text = format!(
            "the run is finished; its result is {}. To train further, start a new run from it:\n  bone \
             train --resume {} --out NEW --max-steps N",
            result.display(),
            shell::path(&at.out)
        );
        host.reporter.report(Event::Note(&text))?;
        return Ok(None);
    }
    begin(&config, Start::Resume(found), Some(lock), host).map(Some)
}

/// # Errors
///
/// A later checkpoint exists. Training from this one would replace it.
fn newest_only(found: &Found) -> Result<(), RunError> {
    let (folder, steps) = (&found.at.folder, found.state.progress.steps);
    match checkpoint::all(&found.at.out)?.pop() {
        Some((newest, _)) if newest > steps => Err(RunError::path(
            folder,
            format!(
                "the run has a newer checkpoint, step-{newest}. To start a new run from step {steps}:\n  \
                 bone train --resume {} --out NEW",
                shell::path(folder)
            ),
        )),
        _ => Ok(()),
    }
}
