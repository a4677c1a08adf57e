//! Progress output: a bar in a terminal, plain lines elsewhere.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use bone_train::report::{
    Event, Lines, Pace, ReportError, Reporter, event_lines, spike, state, tell,
};

const TEMPLATE: &str = "{bar:20} {pos}/{len}  eta {eta}  {wide_msg}";

/// A progress bar with all other output above it.
#[derive(Debug)]
struct Terminal {
    bar: ProgressBar,
    /// Where the bar is drawn. It starts at the first step, or at the kernel tuning before it.
    target: Option<ProgressDrawTarget>,
    pace: Pace,
}

impl Terminal {
    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::hidden();
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self {
            bar,
            target: Some(target),
            pace: Pace::default(),
        }
    }

    fn show(&mut self, message: impl Into<Cow<'static, str>>) {
        if let Some(target) = self.target.take() {
            self.bar.set_draw_target(target);
            self.bar.reset_eta();
            // A step may take minutes; the clock continues to tick.
            self.bar.enable_steady_tick(Duration::from_secs(1));
        }
        self.bar.set_message(message);
    }

    fn above(&self, lines: impl IntoIterator<Item = String>) {
        self.bar
            .suspend(|| lines.into_iter().for_each(|line| tell(&line)));
    }
}

impl Reporter for Terminal {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(step) => {
                self.pace.add(&step);
                self.bar.set_length(step.total_steps as u64);
                self.show(state(&step, &self.pace));
                self.bar.set_position(step.step as u64);
                self.above(spike(&step));
            }
            Event::Start(start) => {
                self.above(event_lines(event));
                self.bar.set_length(start.total_steps as u64);
                self.pace.resume_from(&start.recent_losses);
            }
            Event::Tuning => self.show("tuning kernels"),
            Event::Skipped(skip) => {
                self.above(event_lines(event));
                self.show("step skipped");
                self.bar.set_position(skip.step as u64);
            }
            Event::Finish(_) => {
                self.bar.abandon();
                event_lines(event).iter().for_each(|line| tell(line));
            }
            other => self.above(event_lines(other)),
        }
        Ok(())
    }
}

impl Drop for Terminal {
    /// If a run fails, the bar stays where it is, with the error below it.
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.abandon();
        }
    }
}

/// Returns the console's reporter: a progress bar if stderr is a terminal, else plain lines.
pub fn console() -> Box<dyn Reporter> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if io::stderr().is_terminal() && !dumb {
        Box::new(Terminal::on(ProgressDrawTarget::stderr()))
    } else {
        Box::new(Lines::new(io::stderr()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use indicatif::TermLike;

    use super::*;
    use bone_train::report::{StartReport, StepReport};

    /// Returns a step of 1,000 tokens in two seconds.
    fn step(step: usize, total_steps: usize) -> StepReport {
        StepReport {
            step,
            total_steps,
            epoch: 0.03,
            loss: 2.5,
            grad_norm: 0.75,
            learning_rate: 2e-5,
            tokens: 600,
            tokens_processed: 1000,
            seconds: 2.0,
            tuning: false,
            spike: None,
        }
    }

    #[test]
    fn progress_bar_template_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    /// The output on a terminal of 60 columns.
    static DRAWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[derive(Debug)]
    struct Narrow;

    impl TermLike for Narrow {
        fn width(&self) -> u16 {
            60
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            DRAWN.lock().unwrap().push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn progress_bar_fits_narrow_terminal() {
        let mut terminal = Terminal::on(ProgressDrawTarget::term_like(Box::new(Narrow)));
        terminal.report(Event::Step(step(3, 10))).unwrap();
        let bar = terminal.bar.clone();
        assert!(bar.message().len() > 30, "{}", bar.message());
        // This always draws; earlier, the bar may have been drawn without its message.
        bar.abandon();
        let drawn = DRAWN.lock().unwrap().clone();
        let of_bar: Vec<_> = drawn.iter().filter(|text| text.contains("/10")).collect();
        for text in &of_bar {
            assert!(text.trim_end().chars().count() <= 60, "{text:?}");
        }
        let last = of_bar.last().expect("it was drawn");
        assert!(
            last.contains("eta ") && last.contains("loss 2.5"),
            "{last:?}"
        );
    }

    #[test]
    fn progress_bar_shows_kernel_tuning() {
        let mut terminal = Terminal::on(ProgressDrawTarget::hidden());
        let start = StartReport {
            settings: Vec::new(),
            model: Vec::new(),
            total_steps: 10,
            recent_losses: Vec::new(),
        };
        terminal.report(Event::Start(&start)).unwrap();
        assert!(terminal.target.is_some());
        terminal.report(Event::Tuning).unwrap();
        let bar = terminal.bar.clone();
        assert_eq!((bar.position(), bar.length()), (0, Some(10)));
        assert_eq!(bar.message(), "tuning kernels");
    }

    #[test]
    fn progress_bar_follows_steps_and_finishes() {
        let mut terminal = Terminal::on(ProgressDrawTarget::hidden());
        assert!(terminal.target.is_some());
        terminal.report(Event::Step(step(3, 10))).unwrap();
        let bar = terminal.bar.clone();
        assert_eq!((bar.position(), bar.length()), (3, Some(10)));
        assert!(
            bar.message()
                .starts_with("loss 2.5000  lr 2.00e-5  500 tok/s  mem ")
        );
        terminal.report(Event::Finish(&Default::default())).unwrap();
        assert!(bar.is_finished());
    }
}
