//! Looking at a run between its steps.

use super::Progress;
use crate::optimizer::Optimizer;
use crate::report::Reporter;
use crate::step::TrainBackend;

/// Where a run is, between two steps.
#[derive(Debug)]
pub struct Standing<'a, B: TrainBackend, M> {
    /// The model.
    pub model: &'a M,
    /// Its optimizer.
    pub optimizer: &'a Optimizer<B>,
    /// How far it is.
    pub progress: &'a Progress,
    /// Whether it was evaluated just now, better than ever before.
    pub is_best: bool,
    /// Whether no step is left.
    pub is_last: bool,
}

/// What a run does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Goes on.
    GoOn,
    /// Stops here.
    Stop,
}

/// Somebody who looks at a run between its steps, and may save it or stop it.
pub trait Watch<B: TrainBackend, M> {
    /// Called before the first step and after every one, evaluations included.
    ///
    /// # Errors
    ///
    /// What ends the run, in words.
    fn between_steps(
        &mut self,
        at: Standing<'_, B, M>,
        reporter: &mut dyn Reporter,
    ) -> Result<Then, String>;

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
    ) -> Result<Then, String> {
        Ok(Then::GoOn)
    }
}
