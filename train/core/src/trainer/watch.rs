//! Hooks between the steps of a run.

use super::{Progress, TrainError};
use crate::optimizer::Optimizer;
use crate::report::Reporter;
use crate::step::TrainBackend;
use std::ops::ControlFlow;

/// The run between two steps.
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

/// An observer that is called between steps. It may save the run or stop it.
pub trait Watch<B: TrainBackend, M> {
    /// Called before the first step and after every step and its evaluation. Returns whether the run
    /// continues.
    ///
    /// # Errors
    ///
    /// The reason that ends the run.
    fn between_steps(
        &mut self,
        at: Standing<'_, B, M>,
        reporter: &mut dyn Reporter,
    ) -> Result<ControlFlow<()>, TrainError>;

    /// Returns whether the run is to stop as soon as possible, even during an evaluation.
    fn is_stopping(&self) -> bool {
        false
    }
}

/// Never stops the run.
impl<B: TrainBackend, M> Watch<B, M> for () {
    fn between_steps(
        &mut self,
        _: Standing<'_, B, M>,
        _: &mut dyn Reporter,
    ) -> Result<ControlFlow<()>, TrainError> {
        Ok(ControlFlow::Continue(()))
    }
}
