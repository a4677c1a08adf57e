//! Writing the result, also when the disk is full.

use super::RunError;
use super::signals::{Signal, Signals};
use crate::disk::{at, explained, may_pass};
use crate::report::{Event, Reporter};
use crate::trainer::TrainError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to retry on a full disk.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Delay between two tries.
const PAUSE: Duration = Duration::from_secs(5);

/// Simulates a full disk if a test asks for it.
fn perhaps_full() -> io::Result<()> {
    fail::fail_point!("result", |_| Err(io::ErrorKind::StorageFull.into()));
    Ok(())
}

/// Number of files and folders of a result.
const FILES: u64 = 4;

/// Writes the result of about `bytes` bytes into the output folder `out` with `write`. If the disk is full
/// and no checkpoint holds the result (`is_saved`), it retries for up to one hour: the result exists only
/// in memory.
///
/// # Errors
///
/// The reason why it cannot be written. If a signal arrives while it waits, the error that `stopped` makes
/// of the signal and the reason.
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
