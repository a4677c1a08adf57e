//! `bone train`.

use crate::error::CommandError;
use crate::terminal;
use bone_train::config::{self, TrainArgs};
use bone_train::run::signals::Signals;
use bone_train::run::{Host, RunError, fork, resume, train};
use std::path::Path;

/// Trains with the settings in `args`, resumes a run, or starts a new one from it.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &TrainArgs) -> Result<(), CommandError> {
    // First of all: a signal from here on ends the process as shells expect.
    let signals = Signals::listen().map_err(CommandError::io(Path::new("signals")))?;
    let mut console = terminal::console();
    let host = Host {
        reporter: &mut console,
        signals: Some(signals),
    };
    let Some(path) = &args.resume else {
        train(&config::resolve(args).map_err(RunError::from)?, host)?;
        return Ok(());
    };
    let given = args.given();
    if given.iter().any(|key| key == "out") {
        fork(path, args, host)?;
    } else if given.is_empty() {
        resume(path, host)?;
    } else {
        return Err(CommandError::Usage(format!(
            "--resume continues a run with its own settings, and these were given: {}. To start a new run \
             from it with them, add `--out NEW`",
            given.join(", ")
        )));
    }
    Ok(())
}
