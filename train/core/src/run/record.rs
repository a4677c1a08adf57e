//! The console, the metrics and the log of a run, as one reporter.

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
