use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Event, ReportError, Reporter};
use crate::disk::is_full;
use crate::layout::METRICS;
use crate::memory::resident_bytes;

/// Writes `metrics.jsonl`: one JSON object for every step, every one that was skipped and every
/// evaluation, told apart by `"type"`, with the fields of [`StepReport`](super::StepReport),
/// [`SkipReport`](super::SkipReport) and [`EvalReport`](super::EvalReport). Each has `at`, the seconds since
/// 1970, and a step `resident_bytes`. A number that is not
/// finite is `null`. Every line is written at once, so a run that is killed leaves whole lines.
///
/// A disk that is full ends no run: lines wait until there is room, and [`trouble`](Self::trouble) says so.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
    /// Lines that are not in the file yet, or not to their end.
    waiting: Vec<u8>,
    /// How much of the first is.
    begun: usize,
    pub(super) trouble: Option<String>,
}

#[derive(Serialize)]
struct Line<R> {
    r#type: &'static str,
    #[serde(flatten)]
    report: R,
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<u64>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<f64>,
}

fn now() -> Option<f64> {
    let since = std::time::UNIX_EPOCH.elapsed().ok()?;
    // To the millisecond.
    Some((since.as_secs_f64() * 1e3).round() / 1e3)
}

impl Metrics {
    pub(super) fn of(path: PathBuf, file: File) -> Self {
        Self {
            path,
            file,
            waiting: Vec::new(),
            begun: 0,
            trouble: None,
        }
    }

    /// Why lines have to wait, told once.
    pub fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// Makes the file in the folder `out`, in place of one that is there.
    ///
    /// # Errors
    /// [`ReportError`]: the file cannot be made.
    pub fn create(out: &Path) -> Result<Self, ReportError> {
        let path = out.join(METRICS);
        match File::create(&path) {
            Ok(file) => Ok(Self::of(path, file)),
            Err(source) => Err(ReportError { path, source }),
        }
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), ReportError> {
        let all_written = self.waiting.is_empty();
        let json = serde_json::to_vec(line).map_err(|error| self.failed(error.into()))?;
        self.waiting.extend(json);
        self.waiting.push(b'\n');
        match self.write_out() {
            Ok(()) => Ok(()),
            Err(error) if is_full(&error) => {
                if all_written {
                    let path = self.path.display();
                    self.trouble = Some(format!(
                        "{path}: {error}; the run goes on, and its lines are written when there is room"
                    ));
                }
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Writes what waits; of what cannot be written the rest waits on, in the middle of a line as well.
    fn write_out(&mut self) -> std::io::Result<()> {
        let mut written = Ok(());
        while written.is_ok() && self.begun < self.waiting.len() {
            match self.file.write(&self.waiting[self.begun..]) {
                Ok(0) => written = Err(std::io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.begun += bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => written = Err(error),
            }
        }
        let line_end = |byte: &u8| *byte == b'\n';
        let whole = self.waiting[..self.begun].iter().rposition(line_end);
        let whole = whole.map_or(0, |end| end + 1);
        self.waiting.drain(..whole);
        self.begun -= whole;
        written
    }

    /// Forces what was written to the disk.
    ///
    /// # Errors
    /// [`ReportError`]: the system cannot, or lines are waiting still.
    pub fn sync(&mut self) -> Result<(), ReportError> {
        let written = self.write_out().and_then(|()| self.file.sync_all());
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, source: std::io::Error) -> ReportError {
        ReportError {
            path: self.path.clone(),
            source,
        }
    }
}

impl Reporter for Metrics {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(report) => self.write(&Line {
                r#type: "step",
                report,
                resident_bytes: Some(resident_bytes()),
                at: now(),
            }),
            Event::Skipped(report) => self.write(&Line {
                r#type: "skipped",
                report,
                resident_bytes: None,
                at: now(),
            }),
            Event::Evaluation(report) => self.write(&Line {
                r#type: "evaluation",
                report,
                resident_bytes: None,
                at: now(),
            }),
            Event::Start(_)
            | Event::Tuning
            | Event::Phase(_)
            | Event::Saved(_)
            | Event::Note(_)
            | Event::Finish(_) => Ok(()),
        }
    }

    fn unwritten(&mut self) -> String {
        // There may be room again.
        let _ = self.write_out();
        String::from_utf8_lossy(&self.waiting).into_owned()
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::step;
    use super::*;

    #[test]
    fn a_full_disk_costs_no_line() {
        let out = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::create(out.path()).unwrap();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let room = std::mem::replace(&mut metrics.file, full.unwrap());
        let add = |metrics: &mut Metrics, n| metrics.report(Event::Step(step(n, 10))).unwrap();
        add(&mut metrics, 1);
        assert!(metrics.trouble().unwrap().contains("No space left"));
        add(&mut metrics, 2);
        assert_eq!(metrics.trouble(), None, "told once");
        assert!(metrics.sync().is_err());
        assert_eq!(metrics.unwritten().lines().count(), 2);
        metrics.file = room;
        add(&mut metrics, 3);
        assert_eq!(metrics.unwritten(), "");
        let text = std::fs::read_to_string(out.path().join(METRICS)).unwrap();
        let steps = text.lines().map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["step"].as_u64().unwrap()
        });
        assert_eq!(steps.collect::<Vec<_>>(), [1, 2, 3]);
    }
}
