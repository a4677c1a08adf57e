//! Loss scaling for gradients that pass through f16.

use serde::{Deserialize, Serialize};

/// A factor on the loss, so that gradients are not lost below f16's smallest number. It is halved
/// when one overflows, whose step is then skipped, and doubled after so many steps without. As
/// PyTorch's `GradScaler` has it, numbers included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    factor: f64,
    /// Steps since the factor last changed.
    steady: usize,
    skipped: usize,
}

/// Steps without an overflow after which more is tried.
const GROWTH_INTERVAL: usize = 2000;
/// Below this the loss itself is at fault.
const SMALLEST: f64 = 1.0;
/// What f32 still holds with room for the loss itself.
const LARGEST: f64 = (1u64 << 32) as f64;

impl Default for LossScale {
    fn default() -> Self {
        Self::starting_at(65_536.0)
    }
}

impl LossScale {
    /// A scale that starts at `factor`.
    pub fn starting_at(factor: f64) -> Self {
        Self {
            factor,
            steady: 0,
            skipped: 0,
        }
    }

    /// What the loss is multiplied with, and gradients are divided by.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Steps that were skipped so far.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// After a step whose gradients were finite.
    pub fn kept(&mut self) {
        self.steady += 1;
        if self.steady >= GROWTH_INTERVAL && self.factor < LARGEST {
            self.factor *= 2.0;
            self.steady = 0;
        }
    }

    /// After a step whose gradients were not; whether a smaller factor is worth a try.
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
    fn the_factor_falls_at_once_and_rises_slowly() {
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
    fn it_ends_where_the_loss_itself_is_at_fault() {
        let mut scale = LossScale::starting_at(4.0);
        assert!(scale.overflowed() && scale.overflowed());
        assert!(!scale.overflowed());
        assert_eq!((scale.factor(), scale.skipped()), (1.0, 2));
    }
}
