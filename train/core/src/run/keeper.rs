//! Saving a run while it goes on, and stopping it when the system asks.

use super::RunError;
use super::backoff::Backoff;
use crate::config::TrainConfig;
use crate::report::{Event, ReportError, Reporter};
use crate::run::checkpoint::{Outcome, RunIdentity, Saver, Snapshot, State, WriteResult};
use crate::run::signals::{Signal, Signals};
use crate::step::TrainBackend;
use crate::trainer::{Progress, Standing, Then, Watch};
use burn::module::AutodiffModule;
use std::time::{Duration, Instant};

/// What the result so far is made of.
pub(super) type Results<'a, M> = &'a dyn Fn(&M) -> Result<WriteResult, RunError>;

/// When a run is saved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cadence {
    /// Steps between checkpoints.
    pub(super) steps: Option<usize>,
    /// Time between them.
    pub(super) time: Option<Duration>,
    /// At every evaluation that is the best so far.
    pub(super) best: bool,
}

impl Cadence {
    /// Returns when the settings save a run.
    pub(super) fn of(config: &TrainConfig) -> Self {
        let minutes = config.save_minutes;
        Self {
            steps: config.save_every,
            time: Some(minutes)
                .filter(|minutes| *minutes > 0.0)
                .and_then(|minutes| Duration::try_from_secs_f64(60.0 * minutes).ok()),
            best: config.keep_best,
        }
    }
}

/// How long a checkpoint that could not be written is put off.
fn pauses() -> Backoff {
    Backoff::new(Duration::from_secs(10), Duration::from_secs(600))
}

/// Looks after a run: saves it when it is time, and stops it when a signal says so.
pub(super) struct Keeper<'a, M> {
    pub(super) saver: Saver,
    cadence: Cadence,
    signals: Option<&'static Signals>,
    /// What the run is known by, when it is first wanted.
    identity: &'a mut dyn FnMut() -> Result<RunIdentity, RunError>,
    results: Results<'a, M>,
    saved_at: Instant,
    /// When a checkpoint that was due and does not exist is tried.
    owed: Option<Instant>,
    pauses: Backoff,
    /// The signal that stopped the run, and why there is no checkpoint of its last step, if so.
    pub(super) stopped: Option<(Signal, Option<String>)>,
}

impl<'a, M> Keeper<'a, M> {
    pub(super) fn new(
        saver: Saver,
        cadence: Cadence,
        signals: Option<&'static Signals>,
        identity: &'a mut dyn FnMut() -> Result<RunIdentity, RunError>,
        results: Results<'a, M>,
    ) -> Self {
        Self {
            saver,
            cadence,
            signals,
            identity,
            results,
            saved_at: Instant::now(),
            owed: None,
            pauses: pauses(),
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
        let identity = (self.identity)()?;
        let mut state = State::new(at.progress.clone(), &trained, &identity);
        state.unwritten = reporter.unwritten();
        Ok(Snapshot {
            state,
            trained,
            result: (self.results)(at.model)?,
        })
    }

    /// Tells what came of checkpoints.
    fn tell(
        &mut self,
        outcomes: Vec<Outcome>,
        is_last: bool,
        reporter: &mut dyn Reporter,
    ) -> Result<(), ReportError> {
        let next = match is_last {
            true => "",
            false => ", the run goes on and will try again",
        };
        for outcome in outcomes {
            let note = match outcome {
                Outcome::Saved(folder) => {
                    self.pauses.reset();
                    reporter.report(Event::Saved(&folder))?;
                    continue;
                }
                Outcome::NotSaved(why) => {
                    self.owed = Some(Instant::now() + self.pauses.pause());
                    format!(
                        "a checkpoint was not written: {why}; those before it are as they were{next}"
                    )
                }
                Outcome::NotRemoved(why) => format!("older checkpoints were not removed: {why}"),
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
    ) -> Result<Then, String> {
        let words = |error: ReportError| error.to_string();
        fail::fail_point!("step", |_| {
            crate::disk::kill();
            Ok(Then::Stop)
        });
        let (steps, is_last) = (at.progress.steps, at.is_last);
        let done = self.saver.poll();
        self.tell(done, is_last, reporter).map_err(words)?;
        // A run that is done is not stopped any more.
        let signal = self.signals.and_then(Signals::ends).filter(|_| !is_last);
        if steps == 0 {
            self.stopped = signal.map(|signal| (signal, None));
            return Ok(signal.map_or(Then::GoOn, |_| Then::Stop));
        }
        let standing = Soundness::of(at.progress);
        if standing != Soundness::Lost && !self.saver.has(steps) {
            // The step after it went well.
            self.saver.trust();
        }
        let asked = self.signals.is_some_and(Signals::takes_save);
        let Cadence {
            steps: every,
            time,
            best,
        } = self.cadence;
        // The result is written after the last: if that fails, nothing is lost.
        let ends = is_last && (every.is_some() || time.is_some());
        let is_best = best && at.is_best;
        let due = every.is_some_and(|every| steps.is_multiple_of(every))
            || time.is_some_and(|time| self.saved_at.elapsed() >= time);
        if due {
            // A try that failed before puts this one off no more.
            self.owed = Some(Instant::now());
        }
        let is_owed = self.owed.is_some_and(|from| from <= Instant::now());
        // What changed nothing, or is lost, does not take the place of the last that did and is not.
        let wanted = (is_owed && standing != Soundness::Lost)
            || is_best
            || ends
            || asked
            || signal.is_some();
        if self.saver.has(steps) {
            self.owed = None;
            if let Some(evaluated) = at.progress.evaluation() {
                self.saver.evaluated(evaluated);
            }
        } else if wanted {
            let snapshot = self
                .snapshot(&at, reporter)
                .map_err(|error| error.to_string())?;
            let before = self.saver.save(snapshot);
            self.tell(before, is_last, reporter).map_err(words)?;
            self.owed = None;
            self.saved_at = Instant::now();
        }
        if standing == Soundness::Seen {
            self.saver.trust();
        }
        if !(asked || is_last || signal.is_some()) {
            return Ok(Then::GoOn);
        }
        let done = self.saver.wait();
        let Some(signal) = signal else {
            self.tell(done, is_last, reporter).map_err(words)?;
            return Ok(Then::GoOn);
        };
        let (mut unsaved, mut told) = (None, Vec::new());
        for outcome in done {
            match outcome {
                Outcome::NotSaved(why) => unsaved = Some(why),
                other => told.push(other),
            }
        }
        self.tell(told, is_last, reporter).map_err(words)?;
        self.stopped = Some((signal, unsaved));
        Ok(Then::Stop)
    }

    fn is_stopping(&self) -> bool {
        self.signals.is_some_and(|signals| signals.ends().is_some())
    }
}

/// Whether a run is as it should be, as far as its last step and an evaluation right after it show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Soundness {
    /// Its numbers were not finite.
    Lost,
    /// The step's were, which are of the weights before it.
    Likely,
    /// So is the held-out loss of the weights as they are.
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
    fn what_fails_again_is_tried_later() {
        let wanted = [10, 20, 40, 80, 160, 320, 600, 600].map(Duration::from_secs);
        let mut pauses = pauses();
        assert_eq!(wanted.map(|_| pauses.pause()), wanted);
        pauses.reset();
        assert_eq!(pauses.pause(), wanted[0]);
    }

    #[test]
    fn a_run_is_sound_as_far_as_its_numbers_show() {
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
