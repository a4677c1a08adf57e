//! One training run, from its settings to its result.
//!
//! [`train`] starts a run. [`resume`] continues one exactly as if it had never stopped. [`fork`] starts a
//! new run with other settings from a checkpoint of another run. All of them write into an output folder
//! ([`crate::layout`]). One process at a time owns that folder (`.lock`).

use crate::config::{Init, TrainConfig};
use crate::device::{self, DeviceError};
use crate::models::ModelSource;
use crate::report::{Event, Log, Reporter};
use crate::trainer::Progress;
use job::{Job, OnModel};
use lock::Lock;
use signals::Signals;
use start::Start;
use std::path::PathBuf;
use std::time::Instant;

mod advice;
/// Entry points for `fuzz/`. Not part of the public interface.
#[doc(hidden)]
pub mod checkpoint;
mod error;
pub mod fingerprint;
mod fit;
mod folder;
mod fork;
mod identity;
mod inputs;
mod job;
mod keeper;
mod lock;
mod prepare;
mod record;
mod result;
mod resume;
mod shell;
pub mod signals;
mod start;

pub use error::{RunError, is_wrong_request};
pub use fit::Fit;
pub use fork::fork;
pub use job::optimizer;
pub use prepare::{Prepared, prepare};
pub use resume::resume;

/// Result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The folder of the adapter or the model.
    pub result: PathBuf,
    /// Steps, tokens and losses.
    pub progress: Progress,
}

/// Receives the events and the signals of a run.
pub struct Host<'a> {
    /// Receives every event of the run; `&mut ()` ignores them.
    pub reporter: &'a mut dyn Reporter,
    /// The signals of the process. `None` if signals do not stop and save the run.
    pub signals: Option<&'static Signals>,
}

impl<'a> Host<'a> {
    /// Returns a host without signals.
    pub fn new(reporter: &'a mut dyn Reporter) -> Self {
        Self {
            reporter,
            signals: None,
        }
    }
}

/// Trains a model. Writes the result to `adapter/` or `model/` in `config.out`, the settings to
/// `config.toml`, and one line per step to `metrics.jsonl`.
///
/// # Errors
///
/// [`RunError`]. Device, memory, rows and shapes are checked before the output folder is created.
pub fn train(config: &TrainConfig, host: Host<'_>) -> Result<Outcome, RunError> {
    begin_new(config, Start::New, host)
}

/// Starts a run in an output folder that the run has not locked yet.
fn begin_new(config: &TrainConfig, start: Start, host: Host<'_>) -> Result<Outcome, RunError> {
    folder::check(config, &start)?;
    // A folder that does not exist yet is locked when it is created.
    let exists = config.out.is_dir();
    let lock = exists.then(|| Lock::take(&config.out)).transpose()?;
    begin(config, start, lock, host)
}

/// Does all work that needs no model, then loads the model on the device and runs the rest there.
fn begin(
    config: &TrainConfig,
    start: Start,
    lock: Option<Lock>,
    host: Host<'_>,
) -> Result<Outcome, RunError> {
    let started = Instant::now();
    Log::check()?;
    let seed = (config.init == Init::Random).then_some(config.seed);
    let model = ModelSource::open(&config.model, seed)?;
    let inputs = inputs::read(config, &model.info, &start, host.reporter)?;
    host.reporter.report(Event::Phase("loading the model"))?;
    fail::fail_point!("load");
    let fit = &inputs.fit;
    let (name, advice) = (fit.device.name, fit.estimate.advice());
    let fusion = inputs.config.fusion;
    let job = Job {
        inputs,
        start,
        host,
        started,
        lock,
    };
    let work = OnModel { model, job };
    match device::on_device(name, fusion, work) {
        Err(DeviceError::OutOfMemory { reason, .. }) => Err(RunError::DeviceMemory(format!(
            "{name} is out of memory ({reason}): {advice}"
        ))),
        other => other?,
    }
}
