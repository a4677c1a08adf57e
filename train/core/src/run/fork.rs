//! Beginning a new run at a checkpoint of another one.

use super::checkpoint::{self, STATE};
use super::start::Start;
use super::{Host, Outcome, RunError, begin_new};
use crate::config::{Given, resolve_over};
use std::path::Path;

/// Begins a new run at the checkpoint `path` names, or at the newest one of the run in `path`: with
/// its weights, moments and step, its settings with what is `given` over them, and an output folder, metrics
/// and checkpoints of its own. Nothing in the old run's folder changes.
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
