//! Progress of an evaluation.

use bone_train::report::tell;
use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar in a terminal, or a line for every tenth elsewhere; both on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Work done before a resume. It does not count for the speed.
    before: u64,
}

impl Progress {
    /// Starts after `before` of `all`.
    pub(super) fn new(what: &str, all: usize, before: usize) -> Self {
        let bar = ProgressBar::new(all as u64).with_position(before as u64);
        let template = "{pos} of {len} {wide_bar} {msg}, {elapsed} elapsed";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if before > 0 {
            tell(&format!("resumed after {before} of {all} {what}"));
        }
        Self {
            bar,
            before: before as u64,
        }
    }

    /// Adds `count` finished items, with the text `state`.
    pub(super) fn step(&self, count: usize, verb: &str, state: &str) {
        let bar = &self.bar;
        let all = bar.length().unwrap_or_default();
        let tenth = || 10 * bar.position() / all.max(1);
        let before = tenth();
        bar.inc(count as u64);
        let done = bar.position();
        let pace = bar.elapsed().as_secs_f64() / (done - self.before).max(1) as f64;
        let left = (pace * all.saturating_sub(done) as f64).ceil();
        let state = format!("{state}, {left} s left");
        if bar.is_hidden() && tenth() > before {
            tell(&format!("{done} of {all} {verb}, {state}"));
        }
        bar.set_message(state);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
