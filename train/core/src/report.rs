//! What the user sees of a run: events, console output, metrics and logs.
//!
//! The loop passes every [`Event`] to a [`Reporter`]. [`Lines`] writes plain text, [`Metrics`] writes a
//! JSON line into the output folder, and [`Log`] writes the log files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

mod cadence;
mod lines;
mod log;
mod metrics;
mod pace;
mod printable;
#[cfg(test)]
mod tests;

/// Error: an event could not be recorded.
pub use crate::disk::PathError as ReportError;
pub use lines::{Lines, event_lines, spike, state};
pub use log::Log;
pub use metrics::Metrics;
pub use pace::Pace;
pub use printable::printable;

/// Facts at the start of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartReport {
    /// The settings, one per line.
    pub settings: Vec<String>,
    /// The model, the data, and the automatic choices with their reasons, one per line.
    pub model: Vec<String>,
    /// Optimizer steps of the run.
    pub total_steps: usize,
    /// Losses of the last steps before a resume.
    pub recent_losses: Vec<f64>,
}

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps done, including this one.
    pub step: usize,
    /// Steps of the run.
    pub total_steps: usize,
    /// Passes over the data so far.
    pub epoch: f64,
    /// Mean loss of the step's trained tokens, in nats.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Trained tokens of this step.
    pub tokens: usize,
    /// Tokens of this step that passed through the model.
    pub tokens_processed: usize,
    /// Duration of the step.
    pub seconds: f64,
    /// Whether the step compiled and tuned kernels for a new size. Its time then says nothing about later
    /// steps.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tuning: bool,
    /// Median of the recent losses, if this loss is far above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spike: Option<f64>,
}

/// A skipped optimizer step: its loss or gradients were not finite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SkipReport {
    /// Steps done, including this one.
    pub step: usize,
    /// New loss scale after gradients overflowed f16; `None` if the numbers themselves are at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Steps skipped so far.
    pub skipped: usize,
    /// Numbers of its rows in the data, counted from 0 across all files. Every row of a pack is listed.
    pub rows: Vec<u64>,
}

/// An evaluation on the held-out rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EvalReport {
    /// Steps done before the evaluation.
    pub step: usize,
    /// Mean loss of the held-out rows' trained tokens, in nats.
    pub loss: f64,
    /// Number of these tokens.
    pub tokens: usize,
}

/// Summary at the end of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Optimizer steps done.
    pub steps: usize,
    /// Tokens trained on.
    pub tokens: usize,
    /// Tokens that passed through the model in training.
    pub tokens_processed: usize,
    /// Duration of the run, with evaluations and saves.
    pub seconds: f64,
    /// Loss on the held-out rows before training.
    pub first_validation_loss: Option<f64>,
    /// Loss on the held-out rows at the end.
    pub last_validation_loss: Option<f64>,
    /// Skipped steps: their loss or gradients were not finite.
    pub skipped_steps: usize,
    /// Peak resident memory, in bytes.
    pub peak_resident_bytes: u64,
    /// Number of trained parameters.
    pub trained_parameters: usize,
    /// Time to apply the method to the loaded model.
    pub set_up_seconds: f64,
    /// Folder of the result.
    pub out: PathBuf,
}

/// An event of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// Loading is finished; the first step follows.
    Start(&'a StartReport),
    /// A slow phase begins.
    Phase(&'a str),
    /// The next step compiles and tunes GPU kernels.
    Tuning,
    /// A step finished.
    Step(StepReport),
    /// A step was skipped.
    Skipped(&'a SkipReport),
    /// An evaluation finished.
    Evaluation(EvalReport),
    /// A file or folder was written to this path.
    Saved(&'a Path),
    /// A note for the user.
    Note(&'a str),
    /// The run ended.
    Finish(&'a Summary),
}

/// Receives a run's events.
pub trait Reporter {
    /// Handles one event.
    ///
    /// # Errors
    /// [`ReportError`] if a record cannot be written. A closed terminal is not an error.
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError>;

    /// Returns lines that did not fit on the disk. A checkpoint stores them.
    fn unwritten(&mut self) -> String {
        String::new()
    }
}

/// Ignores all events.
impl Reporter for () {
    fn report(&mut self, _: Event<'_>) -> Result<(), ReportError> {
        Ok(())
    }
}

/// Prints a line on stderr and escapes unsafe text. Ignores a closed terminal: that must not end the
/// program.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}
