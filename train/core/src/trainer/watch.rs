//! Looking at a run between its steps.

use super::{Progress, TrainError};
use crate::optimizer::Optimizer;
use crate::report::Reporter;
use crate::step::TrainBackend;
use std::ops::ControlFlow;

/// Where a run is, between two steps.
#[derive(Debug)]
pub struct Standing<'a, B: TrainBackend, M> {
    /// The model.
    pub model: &'a M,
    /// Its optimizer.
    pub optimizer: &'a Optimizer<B>,
    /// How far it is.
    pub progress: &'a Progress,
    /// Whether no step is left.
    pub is_last: bool,
}

/// Somebody who looks at a run between its steps, and may save it or stop it.
pub trait Watch<B: TrainBackend, M> {
    /// Called before the first step and after every one, evaluations included; whether the run goes on.
    ///
    /// # Errors
    ///
    /// What ends the run.
    fn between_steps(
        &mut self,
        at: Standing<'_, B, M>,
        reporter: &mut dyn Reporter,
    ) -> Result<ControlFlow<()>, TrainError>;

    /// Whether the run is to stop as soon as it can: an evaluation is given up for it.
    fn is_stopping(&self) -> bool {
        false
    }
}

/// Lets it run.
impl<B: TrainBackend, M> Watch<B, M> for () {
    fn between_steps(
        &mut self,
        _: Standing<'_, B, M>,
        _: &mut dyn Reporter,
    ) -> Result<ControlFlow<()>, TrainError> {
        Ok(ControlFlow::Continue(()))
    }
}
