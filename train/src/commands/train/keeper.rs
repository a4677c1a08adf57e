//! Saving a run while it goes on, and stopping it when the system asks.

use crate::checkpoint::{RunIdentity, Saver, Snapshot, State, WriteResult, Written};
use crate::commands::CommandError;
use crate::report::{Event, ReportError, Reporter};
use crate::signals::{Signal, Signals};
use crate::step::TrainBackend;
use crate::trainer::{Standing, Then, Watch};
use burn::module::AutodiffModule;
use std::time::{Duration, Instant};

/// What the result so far is made of.
pub(super) type Results<'a, M> = &'a dyn Fn(&M) -> Result<WriteResult, CommandError>;

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

/// Looks after a run: saves it when it is time, and ends it when a signal says so.
pub(super) struct Keeper<'a, M> {
    pub(super) saver: Saver,
    pub(super) cadence: Cadence,
    pub(super) signals: Option<&'static Signals>,
    /// What the run is known by, when it is first wanted.
    pub(super) identity: &'a mut dyn FnMut() -> Result<RunIdentity, CommandError>,
    pub(super) results: Results<'a, M>,
    pub(super) saved_at: Instant,
    /// Whether a checkpoint was due that was put off.
    pub(super) is_owed: bool,
    /// The signal that has ended it, and why there is no checkpoint of where it ended, if there is none.
    pub(super) stopped: Option<(Signal, Option<String>)>,
}

impl<M> Keeper<'_, M> {
    fn snapshot<B: TrainBackend>(
        &mut self,
        at: &Standing<'_, B, M>,
        reporter: &mut dyn Reporter,
    ) -> Result<Snapshot, CommandError>
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

    /// Tells what came of a checkpoint.
    fn tell(
        &self,
        written: Result<Option<Written>, String>,
        is_last: bool,
        reporter: &mut dyn Reporter,
    ) -> Result<(), ReportError> {
        let next = match is_last {
            true => "",
            false => ", the run goes on and will try again",
        };
        match written {
            Ok(None) => Ok(()),
            Ok(Some(Written { folder, left })) => {
                reporter.report(Event::Saved(&folder))?;
                let left = left.map(|why| format!("older checkpoints were not removed: {why}"));
                left.map_or(Ok(()), |note| reporter.report(Event::Note(&note)))
            }
            Err(why) => reporter.report(Event::Note(&format!(
                "a checkpoint was not written: {why}; those before it are as they were{next}"
            ))),
        }
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
            crate::signals::kill();
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
        self.is_owed |= due;
        // A step that changed nothing does not take the place of the last that did.
        let changed = at.progress.skipped_in_a_row == 0;
        let wanted = (self.is_owed && changed) || is_best || ends || asked || signal.is_some();
        if self.saver.has(steps) {
            self.is_owed = false;
        } else if wanted {
            self.is_owed = false;
            let snapshot = self
                .snapshot(&at, reporter)
                .map_err(|error| error.to_string())?;
            let before = self.saver.save(snapshot, at.is_best);
            self.tell(before, is_last, reporter).map_err(words)?;
            self.saved_at = Instant::now();
        }
        if !(asked || is_last || signal.is_some()) {
            return Ok(Then::GoOn);
        }
        let written = self.saver.wait();
        let Some(signal) = signal else {
            self.tell(written, is_last, reporter).map_err(words)?;
            return Ok(Then::GoOn);
        };
        let unsaved = match written {
            Err(why) => Some(why),
            written => {
                self.tell(written, is_last, reporter).map_err(words)?;
                None
            }
        };
        self.stopped = Some((signal, unsaved));
        Ok(Then::Stop)
    }

    fn is_stopping(&self) -> bool {
        self.signals.is_some_and(|signals| signals.ends().is_some())
    }
}
