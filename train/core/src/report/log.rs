use std::io;
use std::path::Path;

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;

use super::lines::event_lines;
use super::{Event, ReportError, Reporter};
use crate::disk::at;
use crate::layout::LOGS;

/// Start of a log file's name, before the day.
const PREFIX: &str = "bone";
const SUFFIX: &str = "jsonl";
/// Number of days to keep.
const DAYS: usize = 14;
/// Environment variable with the log filter.
const FILTER: &str = "BONE_LOG";

/// Writes the `tracing` events of a run to `logs/bone.DAY.jsonl` in the output folder: one JSON object per
/// line, one file per day, for fourteen days. Events of libraries are included. `BONE_LOG` sets the filter
/// in the syntax of `tracing-subscriber`'s `EnvFilter`. The default is `info`; `debug` includes every step.
///
/// While it exists, this thread's events go to the log.
#[derive(Debug)]
pub struct Log {
    _guard: tracing::subscriber::DefaultGuard,
}

/// Returns the log filter.
fn filter(words: Option<&str>) -> Result<EnvFilter, ReportError> {
    let words = words.filter(|words| !words.trim().is_empty());
    words.unwrap_or("info").parse().map_err(|error| {
        let advice = "expected info, debug, or TARGET=LEVEL, separated by commas";
        at(Path::new(FILTER))(io::Error::other(format!("{error}; {advice}")))
    })
}

impl Log {
    /// Checks the `BONE_LOG` variable.
    ///
    /// # Errors
    /// [`ReportError`]: `BONE_LOG` is not a valid filter.
    pub fn check() -> Result<(), ReportError> {
        filter(std::env::var(FILTER).ok().as_deref()).map(drop)
    }

    /// Returns whether `name` is a log file's name.
    pub(crate) fn is_file(name: &str) -> bool {
        name.starts_with(PREFIX) && name.ends_with(SUFFIX)
    }

    /// Opens the log in the folder `out`, new or existing.
    ///
    /// # Errors
    /// [`ReportError`]: the folder cannot be created.
    pub fn open(out: &Path) -> Result<Self, ReportError> {
        let folder = out.join(LOGS);
        // The appender prints a warning on stderr if it creates the folder itself.
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let appender = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix(PREFIX)
            .filename_suffix(SUFFIX)
            .max_log_files(DAYS)
            .build(&folder)
            .map_err(|error| at(&folder)(io::Error::other(error)))?;
        let filter = filter(std::env::var(FILTER).ok().as_deref())?;
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(appender);
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        Ok(Self {
            _guard: tracing::subscriber::set_default(subscriber),
        })
    }
}

impl Reporter for Log {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(report) => {
                let step = report.step;
                let (loss, grad_norm) = (report.loss, report.grad_norm);
                let (learning_rate, seconds) = (report.learning_rate, report.seconds);
                tracing::debug!(step, loss, grad_norm, learning_rate, seconds, "step");
                if let Some(median) = report.spike {
                    tracing::warn!(step, loss, median, "spike");
                }
            }
            Event::Skipped(report) => {
                let (step, skipped, rows) = (report.step, report.skipped, &report.rows);
                tracing::warn!(step, skipped, ?rows, "skipped");
            }
            Event::Evaluation(report) => {
                tracing::info!(step = report.step, loss = report.loss, "evaluation");
            }
            Event::Note(text) => tracing::warn!("{text}"),
            other => {
                for line in event_lines(other) {
                    tracing::info!("{line}");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::step;
    use super::*;

    #[test]
    fn invalid_log_filter_is_rejected() {
        for words in [None, Some(""), Some("debug"), Some("bone_train=debug,warn")] {
            assert!(filter(words).is_ok(), "{words:?}");
        }
        let error = filter(Some("!!!")).unwrap_err().to_string();
        assert!(error.starts_with("BONE_LOG: "), "{error}");
    }

    #[test]
    fn log_file_has_a_line_per_event() {
        let out = tempfile::tempdir().unwrap();
        let mut log = Log::open(out.path()).unwrap();
        log.report(Event::Note("a \u{1b}[31mnote")).unwrap();
        log.report(Event::Step(step(3, 10))).unwrap();
        drop(log);
        tracing::warn!("without a log");
        // Another run appends to the same day's file.
        let mut log = Log::open(out.path()).unwrap();
        log.report(Event::Phase("loading")).unwrap();
        drop(log);
        let files: Vec<_> = std::fs::read_dir(out.path().join(LOGS)).unwrap().collect();
        assert_eq!(files.len(), 1);
        let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let said = |n: usize| (&lines[n]["level"], &lines[n]["fields"]["message"]);
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(said(0), (&"WARN".into(), &"a \u{1b}[31mnote".into()));
        assert_eq!(said(1), (&"INFO".into(), &"loading …".into()));
        assert!(!text.contains('\u{1b}'), "escaped in JSON");
    }
}
