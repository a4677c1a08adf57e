//! How far an evaluation is.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar in a terminal, a line for every tenth elsewhere; both on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    right: usize,
    done: usize,
    of: usize,
    resumed: usize,
}

impl Progress {
    /// Of `of` questions, where `resumed` have an answer already.
    pub(super) fn new(of: usize, resumed: usize) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(of as u64), target);
        if let Ok(style) = ProgressStyle::with_template(
            "{pos} of {len} {wide_bar} {msg} {elapsed} passed, {eta} left",
        ) {
            bar.set_style(style);
        }
        // What was answered before says nothing of the pace.
        bar.set_position(resumed as u64);
        bar.reset_eta();
        if resumed > 0 {
            eprintln!("going on after {resumed} of {of} answers");
        }
        Self {
            bar,
            right: 0,
            done: 0,
            of,
            resumed,
        }
    }

    /// One more answer.
    pub(super) fn answered(&mut self, correct: bool) {
        self.done += 1;
        self.right += usize::from(correct);
        let share = 100.0 * self.right as f64 / self.done as f64;
        self.bar.set_message(format!("{share:.1} % right"));
        self.bar.inc(1);
        let tenth = |done: usize| 10 * (self.resumed + done) / self.of.max(1);
        if self.bar.is_hidden() && tenth(self.done) > tenth(self.done - 1) {
            let left = self.bar.eta().as_secs();
            eprintln!(
                "{} of {} answered, {share:.1} % right, {left} s left",
                self.resumed + self.done,
                self.of
            );
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
