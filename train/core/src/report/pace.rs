use std::time::Duration;

use super::StepReport;

/// Weight of earlier values in the running means.
const KEEP: f64 = 0.9;

/// Running means over about ten steps.
#[derive(Debug, Default)]
pub struct Pace {
    loss: Mean,
    tokens: Mean,
    seconds: Mean,
}

/// An exponential moving mean without bias towards its start.
#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum = KEEP * self.sum + (1.0 - KEEP) * value;
        self.weight = KEEP * self.weight + (1.0 - KEEP);
    }

    fn get(&self) -> f64 {
        if self.weight > 0.0 {
            self.sum / self.weight
        } else {
            0.0
        }
    }
}

impl Pace {
    /// Starts from the last losses of a resumed run.
    pub fn resume_from(&mut self, losses: &[f64]) {
        losses.iter().for_each(|loss| self.loss.add(*loss));
    }

    /// Adds a step.
    pub fn add(&mut self, step: &StepReport) {
        // One non-finite loss must not hide all later ones.
        if step.loss.is_finite() {
            self.loss.add(step.loss);
        }
        if !step.tuning {
            self.tokens.add(step.tokens_processed as f64);
            self.seconds.add(step.seconds);
        }
    }

    /// Returns the smoothed loss. Returns a non-finite loss unchanged, so that the user sees it.
    pub fn loss(&self, step: &StepReport) -> f64 {
        if step.loss.is_finite() {
            self.loss.get()
        } else {
            step.loss
        }
    }

    /// Returns the tokens per second.
    pub fn tokens_per_second(&self) -> f64 {
        let seconds = self.seconds.get();
        if seconds > 0.0 {
            self.tokens.get() / seconds
        } else {
            0.0
        }
    }

    /// Returns the estimated time for the remaining steps.
    pub fn left(&self, step: &StepReport) -> Duration {
        let steps = step.total_steps.saturating_sub(step.step) as f64;
        Duration::try_from_secs_f64(steps * self.seconds.get()).unwrap_or(Duration::MAX)
    }
}

/// Formats a duration as `45s`, `3m 20s`, `5h 03m`, `2d 04h`.
pub(super) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days}d {:02}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {:02}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {:02}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::step;
    use super::*;

    #[test]
    fn running_means_start_unbiased() {
        let mut pace = Pace::default();
        assert_eq!(pace.tokens_per_second(), 0.0);
        let mut first = step(1, 10);
        first.loss = 3.0;
        pace.add(&first);
        assert!((pace.loss(&first) - 3.0).abs() < 1e-12);
        assert!((pace.tokens_per_second() - 500.0).abs() < 1e-9);
        assert_eq!(pace.left(&first), Duration::from_secs(18));
        let mut second = step(2, 10);
        second.loss = 1.0;
        pace.add(&second);
        // (0.1·0.9·3 + 0.1·1) / (0.1·0.9 + 0.1)
        assert!((pace.loss(&second) - 0.37 / 0.19).abs() < 1e-12);
    }

    #[test]
    fn resumed_run_shows_same_mean_loss() {
        let losses = [3.0, 1.0, 2.0];
        let step = |loss| StepReport {
            loss,
            ..step(1, 10)
        };
        let (mut whole, mut on) = (Pace::default(), Pace::default());
        losses.iter().for_each(|loss| whole.add(&step(*loss)));
        on.resume_from(&losses[..2]);
        on.add(&step(losses[2]));
        assert_eq!(whole.loss(&step(2.0)), on.loss(&step(2.0)));
    }

    #[test]
    fn non_finite_loss_does_not_affect_later_mean() {
        let mut pace = Pace::default();
        let mut bad = step(1, 10);
        bad.loss = f64::NAN;
        pace.add(&bad);
        assert!(pace.loss(&bad).is_nan());
        let good = step(2, 10);
        pace.add(&good);
        assert!((pace.loss(&good) - good.loss).abs() < 1e-12);
    }

    #[test]
    fn tuning_step_is_excluded_from_speed() {
        let mut pace = Pace::default();
        let mut first = step(1, 10);
        (first.seconds, first.tuning) = (90.0, true);
        pace.add(&first);
        assert_eq!(pace.tokens_per_second(), 0.0);
        let second = step(2, 10);
        pace.add(&second);
        assert!((pace.tokens_per_second() - 500.0).abs() < 1e-9);
        assert_eq!(pace.left(&second), Duration::from_secs(16));
    }

    #[test]
    fn durations_print_with_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (200, "3m 20s"),
            (18_180, "5h 03m"),
            (187_200, "2d 04h"),
        ] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
