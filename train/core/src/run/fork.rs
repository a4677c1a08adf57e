//! Starting a new run from a checkpoint of another run.

use super::checkpoint::{self, STATE};
use super::start::Start;
use super::{Host, Outcome, RunError, begin_new};
use crate::config::{Given, resolve_over};
use std::path::Path;

/// Starts a new run from the checkpoint at `path`, or from the newest one of the run in `path`. The new run
/// takes over weights, moments, step and settings; the settings in `given` override the old ones. It has
/// its own output folder, metrics and checkpoints. The old run's folder does not change.
///
/// # Errors
///
/// [`RunError`].
pub fn fork(path: &Path, given: &Given, host: Host<'_>) -> Result<Outcome, RunError> {
    let found = checkpoint::find(path)?;
    let source = found.at.folder.join(STATE);
    let config = resolve_over(given, &found.state.config, &source)?;
    begin_new(&config, Start::Fork(found), host)
}
