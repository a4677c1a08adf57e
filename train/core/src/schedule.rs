//! Learning-rate schedules.

use std::f64::consts::PI;

/// The shape of a schedule after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScheduleKind {
    /// Constant at the base rate.
    Constant,
    /// Linear down to zero.
    Linear,
    /// Half a cosine down to zero.
    #[default]
    Cosine,
}

/// The learning rate of every optimizer step, equal to Hugging Face transformers'
/// `get_{constant,linear,cosine}_schedule_with_warmup`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub kind: ScheduleKind,
    /// The rate at the end of the warm-up.
    pub base_lr: f64,
    /// Steps over which the rate rises linearly from 0.
    pub warmup_steps: usize,
    /// Steps of the run. Linear and cosine reach 0 there.
    pub total_steps: usize,
}

impl Schedule {
    /// Returns the rate of `step`, counted from 0. With a warm-up the first step's rate is therefore 0.
    pub fn lr(&self, step: usize) -> f64 {
        let (step, warmup, total) = (
            step as f64,
            self.warmup_steps as f64,
            self.total_steps as f64,
        );
        if step < warmup {
            return self.base_lr * (step / warmup.max(1.0));
        }
        let decay = (total - warmup).max(1.0);
        let share = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => ((total - step) / decay).max(0.0),
            ScheduleKind::Cosine => {
                let progress = (step - warmup) / decay;
                (0.5 * (1.0 + (PI * progress).cos())).max(0.0)
            }
        };
        self.base_lr * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(kind: ScheduleKind, warmup_steps: usize, total_steps: usize) -> Vec<f64> {
        let schedule = Schedule {
            kind,
            base_lr: 2.0,
            warmup_steps,
            total_steps,
        };
        (0..=total_steps).map(|step| schedule.lr(step)).collect()
    }

    #[track_caller]
    fn assert_close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
    }

    #[test]
    fn constant_stays_after_its_warmup() {
        assert_close(
            &rates(ScheduleKind::Constant, 4, 6),
            &[0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0],
        );
        assert_close(&rates(ScheduleKind::Constant, 0, 2), &[2.0, 2.0, 2.0]);
    }

    #[test]
    fn linear_falls_to_zero() {
        assert_close(
            &rates(ScheduleKind::Linear, 2, 6),
            &[0.0, 1.0, 2.0, 1.5, 1.0, 0.5, 0.0],
        );
        let past_the_end = Schedule {
            kind: ScheduleKind::Linear,
            base_lr: 2.0,
            warmup_steps: 2,
            total_steps: 6,
        };
        assert_close(&[past_the_end.lr(9)], &[0.0]);
    }

    #[test]
    fn cosine_falls_to_zero() {
        let half_root = 2f64.sqrt() / 2.0;
        assert_close(
            &rates(ScheduleKind::Cosine, 0, 4),
            &[2.0, 1.0 + half_root, 1.0, 1.0 - half_root, 0.0],
        );
        // A third of the way along the cosine, cos(π/3) = 1/2.
        assert_close(
            &rates(ScheduleKind::Cosine, 1, 4),
            &[0.0, 2.0, 1.5, 0.5, 0.0],
        );
    }

    #[test]
    fn schedule_of_only_warmup_stays_finite() {
        for kind in [
            ScheduleKind::Constant,
            ScheduleKind::Linear,
            ScheduleKind::Cosine,
        ] {
            assert!(rates(kind, 3, 3).iter().all(|rate| rate.is_finite()));
            assert!(rates(kind, 0, 0).iter().all(|rate| rate.is_finite()));
        }
    }
}
