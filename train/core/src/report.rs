//! What a person sees of a run, apart from the loop that makes it.
//!
//! The loop hands every [`Event`] to a [`Reporter`]: [`Lines`] writes plain text, [`Metrics`] a line of
//! JSON into the output folder, [`Log`] the log files.

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

/// An event that could not be recorded.
pub use crate::disk::PathError as ReportError;
pub use lines::{Lines, event_lines, spike, state};
pub use log::Log;
pub use metrics::Metrics;
pub use pace::Pace;
pub use printable::printable;

/// What a run begins with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartReport {
    /// The settings, one a line.
    pub settings: Vec<String>,
    /// The model, the data and what was chosen automatically with its reason, one a line.
    pub model: Vec<String>,
    /// Optimizer steps of the run.
    pub total_steps: usize,
    /// Losses of the last steps before, where it goes on.
    pub recent_losses: Vec<f64>,
}

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps done, this one included.
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
    /// Tokens of this step that were trained.
    pub tokens: usize,
    /// Tokens of this step that went through the model.
    pub tokens_processed: usize,
    /// How long the step took.
    pub seconds: f64,
    /// Whether kernels were compiled and tuned in it for a size that was new: its time says nothing
    /// about the steps to come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tuning: bool,
    /// Where its loss is far above those of the steps before: their median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spike: Option<f64>,
}

/// An optimizer step that was left out, its loss or gradients not finite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SkipReport {
    /// Steps done, this one included.
    pub step: usize,
    /// What the loss is scaled by from now on, where gradients overflowed f16; `None` where the
    /// numbers themselves are at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Steps that were skipped so far.
    pub skipped: usize,
    /// Numbers of its rows in the data, from 0 and on over all files; rows packed together are all there.
    pub rows: Vec<u64>,
}

/// One evaluation on the held-out rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EvalReport {
    /// Steps done before it.
    pub step: usize,
    /// Mean loss of the held-out rows' trained tokens, in nats.
    pub loss: f64,
    /// How many such tokens there are.
    pub tokens: usize,
}

/// What a run ends with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Optimizer steps done.
    pub steps: usize,
    /// Tokens that were trained.
    pub tokens: usize,
    /// Tokens that went through the model in training.
    pub tokens_processed: usize,
    /// How long the run took, evaluations and saves included.
    pub seconds: f64,
    /// Loss on the held-out rows before training.
    pub first_validation_loss: Option<f64>,
    /// Loss on the held-out rows at the end.
    pub last_validation_loss: Option<f64>,
    /// Steps that were skipped, their loss or gradients not finite.
    pub skipped_steps: usize,
    /// Most memory that was resident, in bytes.
    pub peak_resident_bytes: u64,
    /// Parameters that trained.
    pub trained_parameters: usize,
    /// How long it took to put the method on the loaded model.
    pub set_up_seconds: f64,
    /// Where the result lies.
    pub out: PathBuf,
}

/// Something that happens in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// Everything is loaded and the first step comes next.
    Start(&'a StartReport),
    /// Something that takes time begins.
    Phase(&'a str),
    /// A GPU compiles and tunes its kernels in the step that follows.
    Tuning,
    /// A step is done.
    Step(StepReport),
    /// A step was left out.
    Skipped(&'a SkipReport),
    /// An evaluation is done.
    Evaluation(EvalReport),
    /// Something was written there.
    Saved(&'a Path),
    /// Something a person should know.
    Note(&'a str),
    /// The run is over.
    Finish(&'a Summary),
}

/// Something that is told of a run's events.
pub trait Reporter {
    /// Takes one event.
    ///
    /// # Errors
    /// [`ReportError`] where a record cannot be written. A terminal that went away is no error.
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError>;

    /// Lines of its record that it could not write yet, for want of room: a checkpoint keeps them.
    fn unwritten(&mut self) -> String {
        String::new()
    }
}

/// Says nothing.
impl Reporter for () {
    fn report(&mut self, _: Event<'_>) -> Result<(), ReportError> {
        Ok(())
    }
}

/// Prints a line on stderr that may hold what strangers wrote, if anybody reads it: a terminal that was closed
/// is no reason to end anything.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}
