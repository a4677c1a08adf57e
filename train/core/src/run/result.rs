//! Writing the result, where there may be no room for it.

use super::RunError;
use super::backoff::Backoff;
use crate::disk::{explained, may_pass};
use crate::report::{Event, Reporter};
use crate::run::signals::{Signal, Signals};
use crate::trainer::TrainError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a result waits for room.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Why a run has no result.
pub(super) enum Unfinished {
    /// It cannot be written.
    Failed(RunError),
    /// It could not, and a signal came while it waited.
    Stopped(Signal, String),
}

/// Where a test may have no room.
fn perhaps_full() -> io::Result<()> {
    fail::fail_point!("result", |_| Err(io::ErrorKind::StorageFull.into()));
    Ok(())
}

/// Where a result goes.
pub(super) struct Place<'a> {
    pub(super) out: &'a Path,
    /// How large it is, about.
    pub(super) bytes: u64,
    /// Whether a checkpoint holds it as well.
    pub(super) is_saved: bool,
}

/// Files and folders of a result.
const FILES: u64 = 4;

/// Writes the result with `write`. If the disk is full and no checkpoint holds the result, it retries
/// for up to an hour: the result is nowhere but in memory.
///
/// # Errors
///
/// [`Unfinished`].
pub(super) fn write_result<R: Reporter>(
    mut write: impl FnMut(&mut R) -> Result<PathBuf, RunError>,
    place: Place<'_>,
    signals: Option<&'static Signals>,
    reporter: &mut R,
) -> Result<PathBuf, Unfinished> {
    let (started, mut is_told) = (Instant::now(), false);
    let mut pauses = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        let result = perhaps_full().map_err(RunError::io(Path::new("result")));
        let error = match result.and_then(|()| write(reporter)) {
            Ok(saved) => return Ok(saved),
            Err(error) => error,
        };
        let why = explained(&error, ("the result", place.bytes, FILES), place.out);
        let waits = !place.is_saved && may_pass(&error) && started.elapsed() < PATIENCE;
        if !waits {
            return Err(Unfinished::Failed(TrainError::Save(why).into()));
        }
        if !is_told {
            is_told = true;
            let note = format!(
                "the result was not written: {why}. It is saved nowhere else; retrying for up to one hour"
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
