//! One reporter for the console, the metrics and the log of a run.

use crate::report::{Event, Log, Metrics, ReportError, Reporter};

/// Hands every event to the console, `metrics.jsonl` and the log.
pub(super) struct Record<'a> {
    pub(super) console: &'a mut dyn Reporter,
    pub(super) metrics: Metrics,
    pub(super) log: Log,
}

impl Reporter for Record<'_> {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        self.console.report(event)?;
        self.metrics.report(event)?;
        if let Event::Saved(_) = event {
            // Lines that do not fit on the disk stay in memory.
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
