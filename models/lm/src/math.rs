//! Functions of one number, written so that a loop over them vectorises.

/// Computes `e^x` with a relative error of at most 2e-7. Above 88.4 it is infinite, below −87.3
/// zero.
///
/// The argument is reduced to `n·ln 2 + r`, |r| ≤ ln 2 / 2, and `e^r` is the polynomial of the
/// Cephes library's `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: a number added to it loses all digits after the point.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few digits, so that n times it is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const LOWEST: f32 = -87.3;
    // These comparisons let NaN pass.
    let bounded = if x > 89.0 { 89.0 } else { x };
    let bounded = if bounded < LOWEST { LOWEST } else { bounded };
    let rounded = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = bounded - n * LN_2[0] - n * LN_2[1];
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    let power = f32::from_bits(exponent.wrapping_add(127) << 23);
    if x < LOWEST { 0.0 } else { y * power }
}

/// Computes `tanh(x)` with a relative error of at most 3e-7.
///
/// Near zero, where `1 − 2 / (e^2x + 1)` loses digits, it uses the polynomial of the Cephes
/// library's `tanhf`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let far = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_909e-2;
    let p = p * z - 5.373_971_6e-2;
    let p = p * z + 1.333_144_2e-1;
    let p = p * z - 3.333_328e-1;
    let near = p * z * x + x;
    // NaN fails the comparison and stays NaN.
    if size > 0.625 { far.copysign(x) } else { near }
}

#[cfg(test)]
mod tests {
    use super::{exp, tanh};

    #[test]
    fn tanh_matches_standard_library() {
        let mut worst = 0f64;
        for i in -100_000..=100_000 {
            // Every size from 1e-5 on, with 1e5 steps in the range where both forms are least
            // accurate.
            for x in [i as f32 * 1e-4, i as f32 * 1e-8] {
                let expected = f64::from(x).tanh();
                let error = (f64::from(tanh(x)) - expected).abs();
                worst = worst.max(error / expected.abs().max(1e-30));
            }
        }
        assert!(worst < 3e-7, "{worst}");
    }

    #[test]
    fn tanh_handles_extreme_inputs() {
        assert_eq!(tanh(0.0), 0.0);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(tanh(1e30), 1.0);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn exp_matches_standard_library() {
        let mut worst = 0f64;
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let expected = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / expected - 1.0).abs());
        }
        assert!(worst < 2e-7, "{worst}");
    }

    #[test]
    fn exp_handles_extreme_inputs() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(1e4), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-87.2) > 0.0 && exp(88.3).is_finite());
    }
}
