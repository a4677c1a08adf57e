//! The console, the metrics and the log of a run, as one reporter.

use super::RunError;
use crate::report::{EvalReport, Event, Log, Metrics, ReportError, Reporter, StartReport};
use crate::trainer::{TrainError, tell_evaluation};

/// Hands every event to the console, `metrics.jsonl` and the log.
pub(super) struct Record<'a> {
    console: &'a mut dyn Reporter,
    metrics: Metrics,
    log: Log,
}

impl<'a> Record<'a> {
    pub(super) fn new(console: &'a mut dyn Reporter, metrics: Metrics, log: Log) -> Self {
        Self {
            console,
            metrics,
            log,
        }
    }

    /// Records the start, which the console has seen, and the first evaluation.
    pub(super) fn begin(
        &mut self,
        start: &StartReport,
        first: Option<EvalReport>,
    ) -> Result<(), RunError> {
        let mut begin = || {
            self.log.report(Event::Start(start))?;
            first.map_or(Ok(()), |first| tell_evaluation(first, self))
        };
        begin().map_err(|error| TrainError::from(error).into())
    }

    /// Reports an event of the run itself.
    pub(super) fn tell(&mut self, event: Event<'_>) -> Result<(), RunError> {
        let reported = self.report(event);
        reported.map_err(|error| TrainError::from(error).into())
    }

    /// Forces the metrics to the disk.
    pub(super) fn sync(&mut self) -> Result<(), RunError> {
        let synced = self.metrics.sync();
        synced.map_err(|error| TrainError::from(error).into())
    }
}

impl Reporter for Record<'_> {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        self.console.report(event)?;
        self.metrics.report(event)?;
        if let Event::Saved(_) = event {
            // Lines that find no room wait for it.
            let _ = self.metrics.sync();
        }
        if let Some(trouble) = self.metrics.trouble() {
            self.console.report(Event::Note(&trouble))?;
        }
        self.log.report(event)
    }

    fn unwritten(&mut self) -> String {
        self.metrics.unwritten()
    }
}
