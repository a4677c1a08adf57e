//! Writing the result, where there may be no room for it.

use super::backoff::Backoff;
use crate::commands::CommandError;
use crate::disk::may_pass;
use crate::report::{Event, Reporter};
use crate::signals::{Signal, Signals};
use crate::trainer::TrainError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a result waits for room.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Why a run has no result.
pub(super) enum Unfinished {
    /// It cannot be written.
    Failed(CommandError),
    /// It could not, and a signal came while it waited.
    Stopped(Signal, String),
}

/// Where a test may have no room.
fn perhaps_full() -> io::Result<()> {
    fail::fail_point!("result", |_| Err(io::ErrorKind::StorageFull.into()));
    Ok(())
}

/// Writes the result with `write`, whose errors `explain` puts into words. Where the disk does not take it, and it
/// is not saved otherwise, it waits, for room or for the disk: it is nowhere but in memory.
///
/// # Errors
///
/// [`Unfinished`].
pub(super) fn write_result<R: Reporter>(
    (mut write, explain): (
        impl FnMut(&mut R) -> Result<PathBuf, CommandError>,
        impl Fn(&CommandError) -> String,
    ),
    is_saved: bool,
    signals: Option<&'static Signals>,
    reporter: &mut R,
) -> Result<PathBuf, Unfinished> {
    let (started, mut is_told) = (Instant::now(), false);
    let mut pauses = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        let result = perhaps_full().map_err(CommandError::io(Path::new("result")));
        let error = match result.and_then(|()| write(reporter)) {
            Ok(saved) => return Ok(saved),
            Err(error) => error,
        };
        let why = explain(&error);
        let waits = !is_saved && may_pass(&error) && started.elapsed() < PATIENCE;
        if !waits {
            return Err(Unfinished::Failed(TrainError::Save(why).into()));
        }
        if !is_told {
            is_told = true;
            let note = format!(
                "the result was not written: {why}; no checkpoint has it, so that it waits, and tries again for an hour"
            );
            let told = reporter.report(Event::Note(&note));
            told.map_err(|error| Unfinished::Failed(TrainError::from(error).into()))?;
        }
        if let Some(signal) = wait(pauses.pause(), signals) {
            return Err(Unfinished::Stopped(signal, why));
        }
    }
}

/// Waits, or for less if a signal comes.
fn wait(pause: Duration, signals: Option<&'static Signals>) -> Option<Signal> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        if let Some(signal) = signals.and_then(Signals::ends) {
            return Some(signal);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}
