//! Products of a few rows with a weight. Each row of the weight is read once, in place, and
//! multiplied with all input rows. A general product first copies the weight to a new layout, which
//! dominates for few rows.

use super::weight::{Room, Weight};
use crate::matrix::Real;
use burn::tensor::DType;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Largest number of rows for which this is faster (`cargo bench -p bone --bench product`).
const MOST: usize = 32;

/// Rows of the weight per thread and pass.
const TAKEN: usize = 48;

/// Rows of the weight and of the input whose sums stay in registers.
const HELD: [usize; 2] = [3, 4];

/// Returns whether this module computes a product of `n` rows in `T`.
pub(super) fn suits<T: Real>(n: usize) -> bool {
    T::dtype() == DType::F32 && n <= MOST
}

/// Computes `x·W` `[n, out]` for `x` `[n, in]`.
///
/// # Panics
///
/// If `T` is not f32.
pub(super) fn product<T: Real>(x: &[T], n: usize, weight: &Weight) -> Vec<T> {
    let _span = tracing::trace_span!("matmul").entered();
    let [d_input, d_output] = weight.dims();
    let x: &[f32] = bytemuck::cast_slice(x);
    // `[out, n]`: each thread writes a contiguous range.
    let mut turned = vec![0f32; d_output * n];
    turned
        .par_chunks_mut(TAKEN * n.max(1))
        .enumerate()
        .for_each_init(Room::new, |room, (share, target)| {
            let first = share * TAKEN;
            let rows = weight.rows_here::<f32>(&(first..first + target.len() / n), room);
            Arch::new().dispatch(Dots {
                rows,
                x,
                d_input,
                target,
            });
        });
    let mut y = vec![T::ZERO; n * d_output];
    y.par_chunks_exact_mut(d_output.max(1))
        .enumerate()
        .for_each(|(row, y)| {
            for (y, column) in y.iter_mut().zip(turned.chunks_exact(n)) {
                *y = T::from_f32(column[row]);
            }
        });
    y
}

/// Scalar products of some weight rows with all rows of `x`.
struct Dots<'a> {
    rows: &'a [f32],
    x: &'a [f32],
    d_input: usize,
    /// `[rows, n]`.
    target: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            rows,
            x,
            d_input,
            target,
        } = self;
        if d_input == 0 {
            return;
        }
        let n = x.len() / d_input;
        let [of_rows, of_x] = HELD;
        let some_rows = rows.chunks(of_rows * d_input);
        for (rows, target) in some_rows.zip(target.chunks_mut(of_rows * n)) {
            for (i, x) in x.chunks(of_x * d_input).enumerate() {
                let target = &mut target[i * of_x..];
                let held = (rows.len() / d_input, x.len() / d_input);
                macro_rules! held {
                    ($($r:literal $c:literal),+) => {
                        match held {
                            $(($r, $c) => dots::<S, $r, $c>(simd, rows, x, d_input, (n, target)),)+
                            _ => unreachable!("chunks of 1 to 3 rows and 1 to 4 of x"),
                        }
                    };
                }
                held!(3 4, 3 3, 3 2, 3 1, 2 4, 2 3, 2 2, 2 1, 1 4, 1 3, 1 2, 1 1);
            }
        }
    }
}

#[inline(always)]
fn row_of(rows: &[f32], row: usize, d_input: usize) -> &[f32] {
    &rows[row * d_input..][..d_input]
}

/// Computes `R × C` scalar products. The order of summation does not depend on R and C, so a row's
/// result does not depend on its neighbours.
#[inline(always)]
fn dots<S: Simd, const R: usize, const C: usize>(
    simd: S,
    rows: &[f32],
    x: &[f32],
    d_input: usize,
    (stride, target): (usize, &mut [f32]),
) {
    let split = |values, row| S::as_simd_f32s(row_of(values, row, d_input));
    let of_rows: [_; R] = std::array::from_fn(|row| split(rows, row));
    let of_x: [_; C] = std::array::from_fn(|row| split(x, row));
    let mut sums = [[simd.splat_f32s(0.0); C]; R];
    let count = of_rows[0].0.len();
    for at in 0..count {
        let mut here = [simd.splat_f32s(0.0); R];
        for r in 0..R {
            here[r] = of_rows[r].0[at];
        }
        for c in 0..C {
            let x = of_x[c].0[at];
            for r in 0..R {
                sums[r][c] = simd.mul_add_f32s(here[r], x, sums[r][c]);
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            let rest = of_rows[r].1.iter().zip(of_x[c].1);
            let rest: f32 = rest.map(|(a, b)| a * b).sum();
            target[r * stride + c] = simd.reduce_sum_f32s(sums[r][c]) + rest;
        }
    }
}
