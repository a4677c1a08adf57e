use std::time::{Duration, Instant};

/// Longest time between two lines.
const LONGEST: Duration = Duration::from_secs(30);
/// The run is divided into this many parts, with one line each.
const PARTS: usize = 20;

/// Decides which steps print a line: the first, the last, one every 5 % and one every 30 seconds.
#[derive(Debug, Default)]
pub(super) struct Cadence {
    last: Option<(usize, Instant)>,
}

impl Cadence {
    /// Returns whether `step` of `total`, finished at `now`, prints a line.
    pub(super) fn is_due(&mut self, step: usize, total: usize, now: Instant) -> bool {
        let part = |step: usize| step.saturating_mul(PARTS) / total.max(1);
        let due = match self.last {
            None => true,
            Some((last, then)) => {
                step >= total
                    || part(step) > part(last)
                    || now.saturating_duration_since(then) >= LONGEST
            }
        };
        if due {
            self.last = Some((step, now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(total: usize, seconds_a_step: f64) -> Vec<usize> {
        let start = Instant::now();
        let mut cadence = Cadence::default();
        (1..=total)
            .filter(|&step| {
                let now = start + Duration::from_secs_f64(step as f64 * seconds_a_step);
                cadence.is_due(step, total, now)
            })
            .collect()
    }

    #[test]
    fn steps_are_reported_at_intervals() {
        assert_eq!(due(3, 0.1), [1, 2, 3]);
        let mut want = vec![1];
        want.extend((50..=1000).step_by(50));
        assert_eq!(due(1000, 0.001), want);
        assert_eq!(due(1, 0.1), [1]);
    }

    #[test]
    fn slow_steps_are_reported_every_30_seconds() {
        assert_eq!(due(1000, 10.0)[..4], [1, 4, 7, 10]);
        assert_eq!(due(40, 60.0).len(), 40);
    }
}
