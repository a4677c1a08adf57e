//! Writing the result, where there may be no room for it.

use super::RunError;
use super::signals::{Signal, Signals};
use crate::disk::{at, explained, may_pass};
use crate::report::{Event, Reporter};
use crate::trainer::TrainError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a result waits for room.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long it waits before the next try.
const PAUSE: Duration = Duration::from_secs(5);

/// Where a test may have no room.
fn perhaps_full() -> io::Result<()> {
    fail::fail_point!("result", |_| Err(io::ErrorKind::StorageFull.into()));
    Ok(())
}

/// Files and folders of a result.
const FILES: u64 = 4;

/// Writes the result, of about `bytes`, into the output folder `out` with `write`. If the disk is full and
/// no checkpoint holds the result (`is_saved`), it retries for up to an hour: the result is nowhere but in memory.
///
/// # Errors
///
/// Why it cannot be written; what `stopped` makes of a signal that came while it waited, and of the reason.
pub(super) fn write_result<R: Reporter>(
    mut write: impl FnMut(&mut R) -> Result<PathBuf, RunError>,
    stopped: impl Fn(Signal, &str) -> RunError,
    (out, bytes): (&Path, u64),
    is_saved: bool,
    signals: Option<&'static Signals>,
    reporter: &mut R,
) -> Result<PathBuf, RunError> {
    let (started, mut is_told) = (Instant::now(), false);
    loop {
        let result = perhaps_full().map_err(|error| at(Path::new("result"))(error).into());
        let error = match result.and_then(|()| write(reporter)) {
            Ok(saved) => return Ok(saved),
            Err(error) => error,
        };
        let why = explained(&error, ("the result", bytes, FILES), out);
        if is_saved || !may_pass(&error) || started.elapsed() > PATIENCE {
            return Err(TrainError::Save(why).into());
        }
        if !is_told {
            is_told = true;
            reporter.report(Event::Note(&format!(
                "the result was not written: {why}. It is saved nowhere else; retrying for up to one hour"
            )))?;
        }
        let until = Instant::now() + PAUSE;
        while Instant::now() < until {
            if let Some(signal) = signals.and_then(Signals::ends) {
                return Err(stopped(signal, &why));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
