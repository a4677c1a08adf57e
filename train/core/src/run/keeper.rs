//! Saving a run during training, and stopping it on a signal.

use super::RunError;
use super::checkpoint::{Outcome, Saver, Snapshot, State};
use super::identity::Identity;
use super::prepare::Product;
use super::signals::{Signal, Signals};
use crate::config::TrainConfig;
use crate::report::{Event, ReportError, Reporter};
use crate::step::TrainBackend;
use crate::trainer::{Progress, Standing, TrainError, Watch};
use burn::module::AutodiffModule;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A function that makes the result so far.
pub(super) type Results<'a, M> = &'a dyn Fn(&M) -> Result<Product, RunError>;

/// First delay before a failed checkpoint is retried.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// Returns the next delay after another failure.
fn longer(pause: Duration) -> Duration {
    (2 * pause).min(Duration::from_secs(600))
}

/// Saves a run when a checkpoint is due, and stops it on a signal.
pub(super) struct Keeper<'a, M> {
    pub(super) saver: Saver,
    config: &'a TrainConfig,
    signals: Option<&'static Signals>,
    /// Identity of the run, and its start time.
    identity: &'a mut Identity,
    started: Instant,
    results: Results<'a, M>,
    saved_at: Instant,
    /// When to try the checkpoint that is due but not written.
    owed: Option<Instant>,
    pause: Duration,
    /// The signal that stopped the run, and why its last step has no checkpoint, if it has none.
    pub(super) stopped: Option<(Signal, Option<String>)>,
}

impl<'a, M> Keeper<'a, M> {
    pub(super) fn new(
        saver: Saver,
        config: &'a TrainConfig,
        signals: Option<&'static Signals>,
        identity: &'a mut Identity,
        started: Instant,
        results: Results<'a, M>,
    ) -> Self {
        Self {
            saver,
            config,
            signals,
            identity,
            started,
            results,
            saved_at: Instant::now(),
            owed: None,
            pause: FIRST_PAUSE,
            stopped: None,
        }
    }

    fn snapshot<B: TrainBackend>(
        &mut self,
        at: &Standing<'_, B, M>,
        reporter: &mut dyn Reporter,
    ) -> Result<Snapshot, RunError>
    where
        M: AutodiffModule<B>,
    {
        let trained = at.optimizer.trained(at.model);
        let known = self.identity.whole()?;
        let state = State {
            seconds: known.seconds + self.started.elapsed().as_secs_f64(),
            unwritten: reporter.unwritten(),
            ..known.at(at.progress.clone(), &trained)
        };
        Ok(Snapshot {
            state,
            trained,
            product: (self.results)(at.model)?,
        })
    }

    /// Reports the outcomes of checkpoints.
    fn tell(
        &mut self,
        outcomes: Vec<Outcome>,
        is_last: bool,
        reporter: &mut dyn Reporter,
    ) -> Result<(), ReportError> {
        let next = match is_last {
            true => "",
            false => "; training continues and tries again",
        };
        for outcome in outcomes {
            let note = match outcome {
                Outcome::Saved(folder) => {
                    self.pause = FIRST_PAUSE;
                    reporter.report(Event::Saved(&folder))?;
                    continue;
                }
                Outcome::NotSaved(why) => {
                    self.owed = Some(Instant::now() + self.pause);
                    self.pause = longer(self.pause);
                    format!(
                        "checkpoint not written: {why}; the earlier checkpoints are intact{next}"
                    )
                }
                Outcome::NotRemoved(why) => format!("older checkpoints not removed: {why}"),
            };
            reporter.report(Event::Note(&note))?;
        }
        Ok(())
    }
}

impl<B: TrainBackend, M: AutodiffModule<B>> Watch<B, M> for Keeper<'_, M> {
    fn between_steps(
        &mut self,
        at: Standing<'_, B, M>,
        reporter: &mut dyn Reporter,
    ) -> Result<ControlFlow<()>, TrainError> {
        fail::fail_point!("step", |_| {
            crate::disk::kill();
            Ok(ControlFlow::Break(()))
        });
        let (steps, is_last) = (at.progress.steps, at.is_last);
        let done = self.saver.news(false);
        self.tell(done, is_last, reporter)?;
        // A finished run does not react to a stop signal.
        let signal = self.signals.and_then(Signals::ends).filter(|_| !is_last);
        let then = signal.map_or(ControlFlow::Continue(()), |_| ControlFlow::Break(()));
        if steps == 0 {
            self.stopped = signal.map(|signal| (signal, None));
            return Ok(then);
        }
        let standing = Soundness::of(at.progress);
        if standing != Soundness::Lost && !self.saver.has(steps) {
            // The step after the checkpoint succeeded.
            self.saver.trust();
        }
        let asked = self.signals.is_some_and(Signals::takes_save);
        let (every, seconds) = (self.config.save_every, 60.0 * self.config.save_minutes);
        // The result is written after the last checkpoint. If writing the result fails, nothing is lost.
        let ends = is_last && (every.is_some() || seconds > 0.0);
        let best = at.progress.best.filter(|_| self.config.keep_best);
        let due = every.is_some_and(|every| steps.is_multiple_of(every))
            || (seconds > 0.0 && self.saved_at.elapsed().as_secs_f64() >= seconds);
        if due {
            // An earlier failure does not delay this checkpoint.
            self.owed = Some(Instant::now());
        }
        let is_owed = self.owed.is_some_and(|from| from <= Instant::now());
        // A checkpoint without changes, or with lost weights, must not replace an older good one.
        let wanted = (is_owed && standing != Soundness::Lost)
            || best.is_some_and(|best| best.step == steps)
            || ends
            || asked
            || signal.is_some();
        if self.saver.has(steps) {
            self.owed = None;
        } else if wanted {
            let snapshot = self.snapshot(&at, reporter);
            let snapshot = snapshot.map_err(|error| TrainError::Save(error.to_string()))?;
            let before = self.saver.save(snapshot);
            self.tell(before, is_last, reporter)?;
            self.owed = None;
            self.saved_at = Instant::now();
        }
        if standing == Soundness::Seen {
            self.saver.trust();
        }
        if asked || is_last || signal.is_some() {
            let done = self.saver.news(true);
            let unsaved = done.iter().find_map(|outcome| match outcome {
                Outcome::NotSaved(why) => Some(why.clone()),
                _ => None,
            });
            self.tell(done, is_last || signal.is_some(), reporter)?;
            self.stopped = signal.map(|signal| (signal, unsaved));
        }
        Ok(then)
    }

    fn is_stopping(&self) -> bool {
        self.signals.is_some_and(|signals| signals.ends().is_some())
    }
}

/// Whether a run is sound, judged by its last step and an evaluation right after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Soundness {
    /// Its numbers were not finite.
    Lost,
    /// The numbers of the last step were finite. They belong to the weights before that step.
    Likely,
    /// The held-out loss of the current weights was finite too.
    Seen,
}

impl Soundness {
    fn of(progress: &Progress) -> Self {
        match progress.evaluation() {
            _ if progress.skipped_in_a_row > 0 => Self::Lost,
            None => Self::Likely,
            Some(best) if best.loss.is_finite() => Self::Seen,
            Some(_) => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_pause_doubles_up_to_limit() {
        let wanted = [10, 20, 40, 80, 160, 320, 600, 600].map(Duration::from_secs);
        let pauses = std::iter::successors(Some(FIRST_PAUSE), |pause| Some(longer(*pause)));
        assert_eq!(pauses.take(wanted.len()).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn soundness_depends_on_loss_and_skips() {
        let of = |skipped_in_a_row, evaluated, loss| {
            Soundness::of(&Progress {
                steps: 5,
                skipped_in_a_row,
                evaluated,
                last_validation: Some(loss),
                ..Progress::default()
            })
        };
        assert_eq!(of(0, Some(5), 2.0), Soundness::Seen);
        assert_eq!(of(0, Some(5), f64::NAN), Soundness::Lost);
        assert_eq!(of(0, Some(4), f64::NAN), Soundness::Likely);
        assert_eq!(of(0, None, 2.0), Soundness::Likely);
        assert_eq!(of(1, Some(4), 2.0), Soundness::Lost);
    }
}
