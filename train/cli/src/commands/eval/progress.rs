//! How far an evaluation is.

use crate::error::CommandError;
use bone_train::report::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

/// Refuses a result that is there, unless it is to be replaced.
pub(super) fn check_new(out: &Path, overwrite: bool) -> Result<(), CommandError> {
    if out.exists() && !overwrite {
        let reason = "is there already; name another --out, or --overwrite to replace it";
        return Err(CommandError::path(out, reason));
    }
    Ok(())
}

/// What there is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    /// What it is, in the plural.
    pub(super) what: &'static str,
    /// All of them.
    pub(super) all: usize,
    /// What was done before it was stopped.
    pub(super) before: usize,
    /// The right ones of those.
    pub(super) right: usize,
    /// What is worked on at once.
    pub(super) at_once: usize,
}

/// A bar in a terminal, a line for every tenth elsewhere; both on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    amount: Amount,
    started: Instant,
    /// Now.
    right: usize,
    done: usize,
}

impl Progress {
    pub(super) fn new(amount: Amount) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(amount.all as u64), target);
        if let Ok(style) =
            ProgressStyle::with_template("{pos} of {len} {wide_bar} {msg}, {elapsed} passed")
        {
            bar.set_style(style);
        }
        bar.set_position(amount.before as u64);
        if amount.before > 0 {
            let Amount {
                what, before, all, ..
            } = amount;
            tell(&format!("going on after {before} of {all} {what}"));
        }
        Self {
            bar,
            amount,
            started: Instant::now(),
            right: amount.right,
            done: amount.before,
        }
    }

    /// Seconds that are left: what is worked on counts as half done. What was done before says
    /// nothing of the pace.
    fn left(&self) -> u64 {
        let left = self.amount.all.saturating_sub(self.done) as f64;
        let running = 0.5 * left.min(self.amount.at_once as f64 - 1.0).max(0.0);
        let now = (self.done - self.amount.before) as f64 + running;
        (self.started.elapsed().as_secs_f64() * (left - running) / now.max(0.5)).ceil() as u64
    }

    /// One more answer.
    pub(super) fn answered(&mut self, correct: bool) {
        self.right += usize::from(correct);
        let share = 100.0 * self.right as f64 / (self.done + 1) as f64;
        self.step(1, &format!("{share:.1} % right"), "answered");
    }

    /// `count` more, of which `what` is known.
    pub(super) fn step(&mut self, count: usize, what: &str, verb: &str) {
        let tenth = |done: usize| 10 * done / self.amount.all.max(1);
        let before = self.done;
        self.done += count;
        let left = self.left();
        self.bar.set_message(format!("{what}, {left} s left"));
        self.bar.set_position(self.done as u64);
        if self.bar.is_hidden() && tenth(self.done) > tenth(before) {
            let all = self.amount.all;
            tell(&format!(
                "{} of {all} {verb}, {what}, {left} s left",
                self.done
            ));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
