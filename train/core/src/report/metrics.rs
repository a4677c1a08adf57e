use std::collections::BTreeSet;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use bone_data::counted;
use serde::{Deserialize, Serialize};

use super::{Event, ReportError, Reporter};
use crate::disk::{Beside, at, is_full};
use crate::layout::METRICS;
use crate::memory::resident_bytes;

/// Writes `metrics.jsonl`: one JSON object per step, skipped step and evaluation. `"type"` tells them
/// apart. The fields are those of [`StepReport`](super::StepReport), [`SkipReport`](super::SkipReport) and
/// [`EvalReport`](super::EvalReport). Each line has `at`, the seconds since 1970, and a step has
/// `resident_bytes`. A non-finite number is `null`. Every line is written at once, so a killed run leaves
/// complete lines.
///
/// A full disk does not end the run: lines wait until there is space, and [`trouble`](Self::trouble)
/// reports it.
///
/// The file has a temporary name until [`take_place`](Self::take_place).
#[derive(Debug)]
pub struct Metrics {
    file: Beside,
    /// Bytes of the lines in the file.
    length: u64,
    /// Lines that are not in the file yet.
    waiting: Vec<u8>,
    trouble: Option<String>,
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

/// The fields that identify a line.
#[derive(Deserialize)]
struct Known {
    r#type: String,
    step: usize,
}

impl Metrics {
    /// Creates a file in the folder `out` that starts with the lines `kept`.
    ///
    /// # Errors
    /// [`ReportError`]: the file cannot be written. An existing file is unchanged.
    pub fn new(out: &Path, kept: &[u8]) -> Result<Self, ReportError> {
        Ok(Self {
            file: Beside::write(out.join(METRICS), kept)?,
            length: kept.len() as u64,
            waiting: Vec::new(),
            trouble: None,
        })
    }

    /// Continues the file in `out` of a run that has done `done` steps. Keeps the lines up to the last of
    /// these steps and up to the evaluation after step `evaluated`. Adds the `unwritten` lines, which did
    /// not fit on the disk. Drops later lines, which the run writes again.
    ///
    /// # Errors
    /// [`ReportError`]: the file cannot be read or written. An existing file is unchanged.
    pub fn resume(
        out: &Path,
        done: RangeInclusive<usize>,
        evaluated: Option<usize>,
        unwritten: &str,
    ) -> Result<Self, ReportError> {
        let path = out.join(METRICS);
        let mut text = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            text => text.map_err(at(&path))?,
        };
        // The last line of a killed run may be incomplete.
        text.push(b'\n');
        text.extend(unwritten.bytes());
        let mut met = BTreeSet::new();
        let mut is_kept = |line: &&[u8]| {
            let Ok(Known { r#type, step }) = serde_json::from_slice(line) else {
                return false;
            };
            let is_evaluation = r#type == "evaluation";
            let last = if is_evaluation {
                evaluated
            } else {
                Some(*done.end())
            };
            Some(step) <= last && met.insert((is_evaluation, step))
        };
        let mut kept = Vec::new();
        for line in text
            .split_inclusive(|byte| *byte == b'\n')
            .filter(&mut is_kept)
        {
            kept.extend(line);
        }
        let missing = done.filter(|step| !met.contains(&(false, *step))).count();
        let mut metrics = Self::new(out, &kept)?;
        metrics.trouble = (missing > 0).then(|| {
            format!(
                "{}: lines missing for {} of the run; the file was changed or cut off",
                path.display(),
                counted(missing, "step")
            )
        });
        Ok(metrics)
    }

    /// Renames the file to its final name and replaces an existing file.
    ///
    /// # Errors
    /// [`ReportError`]: the rename failed.
    pub fn take_place(&mut self) -> Result<(), ReportError> {
        self.file.take_place()
    }

    /// Returns, only once, why lines are waiting or missing.
    pub fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    fn line(
        &mut self,
        r#type: &'static str,
        report: impl Serialize,
        resident_bytes: Option<u64>,
    ) -> Result<(), ReportError> {
        let since = std::time::UNIX_EPOCH.elapsed().ok();
        let line = Line {
            r#type,
            report,
            resident_bytes,
            // Rounded to milliseconds.
            at: since.map(|since| (since.as_secs_f64() * 1e3).round() / 1e3),
        };
        let all_written = self.waiting.is_empty();
        let json = serde_json::to_vec(&line);
        self.waiting
            .extend(json.map_err(|error| at(&self.file.path)(error.into()))?);
        self.waiting.push(b'\n');
        match self.write_out() {
            Ok(()) => Ok(()),
            Err(error) if is_full(&error) => {
                if all_written {
                    let path = self.file.path.display();
                    self.trouble = Some(format!(
                        "{path}: {error}; training continues, and the lines are written once there is space"
                    ));
                }
                Ok(())
            }
            Err(error) => Err(at(&self.file.path)(error)),
        }
    }

    /// Writes all waiting lines, or none of them.
    fn write_out(&mut self) -> std::io::Result<()> {
        let (file, length) = (&mut self.file.file, self.length);
        let written = file.write_all(&self.waiting);
        if written.is_err() {
            // No partial line remains.
            let _ = (file.set_len(length), file.seek(SeekFrom::Start(length)));
        } else {
            self.length += self.waiting.len() as u64;
            self.waiting.clear();
        }
        written
    }

    /// Syncs the written lines to the disk.
    ///
    /// # Errors
    /// [`ReportError`]: the sync failed, or lines are still waiting.
    pub fn sync(&mut self) -> Result<(), ReportError> {
        let written = self.write_out().and_then(|()| self.file.file.sync_all());
        written.map_err(at(&self.file.path))
    }
}

impl Reporter for Metrics {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(report) => self.line("step", report, Some(resident_bytes())),
            Event::Skipped(report) => self.line("skipped", report, None),
            Event::Evaluation(report) => self.line("evaluation", report, None),
            _ => Ok(()),
        }
    }

    fn unwritten(&mut self) -> String {
        // There may be space again.
        let _ = self.write_out();
        String::from_utf8_lossy(&self.waiting).into_owned()
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{created, step};
    use super::*;

    #[test]
    fn full_disk_loses_no_metrics_line() {
        let out = tempfile::tempdir().unwrap();
        let mut metrics = created(out.path());
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let room = std::mem::replace(&mut metrics.file.file, full.unwrap());
        let add = |metrics: &mut Metrics, n| metrics.report(Event::Step(step(n, 10))).unwrap();
        add(&mut metrics, 1);
        assert!(metrics.trouble().unwrap().contains("No space left"));
        add(&mut metrics, 2);
        assert_eq!(metrics.trouble(), None, "told once");
        assert!(metrics.sync().is_err());
        assert_eq!(metrics.unwritten().lines().count(), 2);
        metrics.file.file = room;
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
