use std::io::Write;
use std::time::{Duration, Instant};

use super::cadence::Cadence;
use super::pace::{Pace, clock};
use super::{EvalReport, Event, ReportError, Reporter, SkipReport, StepReport, Summary, printable};
use crate::memory::{human, resident_bytes};

/// Plain lines for a log or a pipe: the first step, every 5 % of the run, at least every 30 seconds, and
/// every evaluation.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    cadence: Cadence,
    pace: Pace,
}

impl<W: Write> Lines<W> {
    /// Returns a reporter that writes lines to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            cadence: Cadence::default(),
            pace: Pace::default(),
        }
    }

    fn line(&mut self, text: &str) {
        // The reader of the lines may be gone; the run continues.
        let _ = writeln!(self.out, "{}", printable(text)).and_then(|()| self.out.flush());
    }
}

impl<W: Write> Reporter for Lines<W> {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(step) => {
                self.pace.add(&step);
                if self
                    .cadence
                    .is_due(step.step, step.total_steps, Instant::now())
                {
                    let line = step_line(&step, &self.pace);
                    self.line(&line);
                }
                if let Some(line) = spike(&step) {
                    self.line(&line);
                }
            }
            other => {
                if let Event::Start(start) = other {
                    self.pace.resume_from(&start.recent_losses);
                }
                for line in event_lines(other) {
                    self.line(&line);
                }
            }
        }
        Ok(())
    }
}

fn step_line(step: &StepReport, pace: &Pace) -> String {
    format!(
        "step {}/{}  epoch {:.2}  {}  grad {:.3}  eta {}",
        step.step,
        step.total_steps,
        step.epoch,
        state(step, pace),
        step.grad_norm,
        clock(pace.left(step)),
    )
}

/// Returns the text about a step that the bar and the lines share.
pub fn state(step: &StepReport, pace: &Pace) -> String {
    // The speed is unknown as long as every step has tuned kernels.
    let speed = match pace.tokens_per_second() {
        0.0 => "- tok/s".to_owned(),
        speed => format!("{speed:.0} tok/s"),
    };
    format!(
        "loss {:.4}  lr {:.2e}  {speed}  mem {}",
        pace.loss(step),
        step.learning_rate,
        human(resident_bytes()),
    )
}

/// Returns the lines of every event except a step.
pub fn event_lines(event: Event<'_>) -> Vec<String> {
    match event {
        Event::Step(_) => Vec::new(),
        Event::Start(start) => {
            let mut lines = Vec::new();
            for (heading, facts) in [("settings", &start.settings), ("run", &start.model)] {
                lines.extend((!facts.is_empty()).then(|| heading.to_owned()));
                lines.extend(facts.iter().map(|fact| format!("  {fact}")));
            }
            lines.push(format!("training for {} steps", start.total_steps));
            lines
        }
        Event::Skipped(skip) => vec![skipped(skip)],
        Event::Tuning => vec!["tuning kernels for a new size …".into()],
        Event::Phase(message) => vec![format!("{message} …")],
        Event::Evaluation(report) => vec![evaluation(&report)],
        Event::Saved(path) => vec![format!("saved {}", path.display())],
        Event::Note(text) => vec![format!("note: {text}")],
        Event::Finish(summary) => finish(summary),
    }
}

fn skipped(skip: &SkipReport) -> String {
    let SkipReport { step, skipped, .. } = skip;
    match skip.loss_scale {
        Some(scale) => format!(
            "note: step {step} skipped: its gradients overflowed f16. New loss scale: {scale}; {skipped} \
             skipped so far"
        ),
        None => format!(
            "note: step {step} skipped: its loss or gradients are not finite. Its rows are in \
             metrics.jsonl; {skipped} skipped so far"
        ),
    }
}

/// Returns the text about a loss spike, if the step has one.
pub fn spike(step: &StepReport) -> Option<String> {
    let median = step.spike?;
    let (number, loss) = (step.step, step.loss);
    Some(format!(
        "note: loss spike at step {number}: {loss:.4}, {:.1} times the recent median {median:.4}",
        loss / median
    ))
}

fn evaluation(report: &EvalReport) -> String {
    let when = match report.step {
        0 => "before training".to_owned(),
        step => format!("after step {step}"),
    };
    format!(
        "validation {when}: loss {:.4}, perplexity {:.2}, over {} tokens",
        report.loss,
        report.loss.exp(),
        report.tokens,
    )
}

fn finish(summary: &Summary) -> Vec<String> {
    let took = Duration::try_from_secs_f64(summary.seconds).unwrap_or_default();
    let mut lines = vec![format!(
        "done: {} steps in {}, {} of {} tokens trained, peak memory {}",
        summary.steps,
        clock(took),
        summary.tokens,
        summary.tokens_processed,
        human(summary.peak_resident_bytes),
    )];
    if summary.skipped_steps > 0 {
        let count = summary.skipped_steps;
        let steps = bone_data::counted(count, "step");
        lines.push(format!("{steps} skipped: loss or gradients not finite"));
    }
    match (summary.first_validation_loss, summary.last_validation_loss) {
        (Some(first), Some(last)) if first > 0.0 => lines.push(format!(
            "validation loss {first:.4} → {last:.4} ({:+.1} %)",
            100.0 * (last - first) / first
        )),
        (_, Some(last)) => lines.push(format!("validation loss {last:.4}")),
        _ => {}
    }
    lines.push(format!("result: {}", summary.out.display()));
    lines
}
