//! Loss scaling for gradients that pass through f16.

use serde::{Deserialize, Serialize};

/// A factor on the loss that keeps gradients above f16's smallest number. When a gradient overflows, the
/// step is skipped and the factor is halved. After enough steps without overflow it is doubled. Rules and
/// numbers are those of PyTorch's `GradScaler`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    factor: f64,
    /// Steps since the factor last changed.
    steady: usize,
    skipped: usize,
}

/// Steps without an overflow before the factor is doubled.
const GROWTH_INTERVAL: usize = 2000;
/// If the factor falls below this, the loss itself is at fault.
const SMALLEST: f64 = 1.0;
/// Largest factor: f32 still holds it, with room for the loss.
const LARGEST: f64 = (1u64 << 32) as f64;

impl Default for LossScale {
    fn default() -> Self {
        Self::starting_at(65_536.0)
    }
}

impl LossScale {
    /// Returns a scale that starts at `factor`.
    pub fn starting_at(factor: f64) -> Self {
        Self {
            factor,
            steady: 0,
            skipped: 0,
        }
    }

    /// Returns the factor that multiplies the loss and divides the gradients.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Returns the number of skipped steps so far.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Records a step with finite gradients.
    pub fn kept(&mut self) {
        self.steady += 1;
        if self.steady >= GROWTH_INTERVAL && self.factor < LARGEST {
            self.factor *= 2.0;
            self.steady = 0;
        }
    }

    /// Records a step with non-finite gradients. Returns whether a smaller factor may help.
    pub fn overflowed(&mut self) -> bool {
        if self.factor <= SMALLEST {
            return false;
        }
        self.factor /= 2.0;
        self.steady = 0;
        self.skipped += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_scale_halves_on_overflow_and_grows_slowly() {
        let mut scale = LossScale::default();
        assert!(scale.overflowed() && scale.overflowed());
        assert_eq!((scale.factor(), scale.skipped()), (16_384.0, 2));
        for _ in 0..GROWTH_INTERVAL {
            assert_eq!(scale.factor(), 16_384.0);
            scale.kept();
        }
        assert_eq!(scale.factor(), 32_768.0);
    }

    #[test]
    fn loss_scale_stops_at_minimum_factor() {
        let mut scale = LossScale::starting_at(4.0);
        assert!(scale.overflowed() && scale.overflowed());
        assert!(!scale.overflowed());
        assert_eq!((scale.factor(), scale.skipped()), (1.0, 2));
    }
}
