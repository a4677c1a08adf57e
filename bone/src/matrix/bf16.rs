//! Products of bf16 with sums in f32, on processors that multiply pairs of bf16 (AVX512-BF16).
//!
//! Both matrices are first packed in bf16, with two neighbours along the inner dimension in one
//! word: `[inner/2, rows of a panel]`, for panels of rows of the left and columns of the right
//! matrix. Then each pair of panels is multiplied in registers. The packed form holds the whole
//! left matrix and [`COLUMNS`] columns of the right one, up to [`INNER`] deep.

use super::{Matrix, Real, Shared};
use bytemuck::Pod;
use rayon::prelude::*;
use std::ops::Range;

mod kernel;

pub use kernel::instructions;
pub(crate) use kernel::{Kernel, kernel};
use kernel::{ROWS, WIDTH};
#[cfg(test)]
use kernel::{choose, portable};

/// A number that rounds to bf16.
pub(crate) trait ToBf16: Pod + Send + Sync {
    /// Returns the bits of the nearest bf16.
    fn to_bits(self) -> u16;
}

impl ToBf16 for f32 {
    #[inline(always)]
    fn to_bits(self) -> u16 {
        let bits = f32::to_bits(self);
        // Adds half a unit in the last place, less one bit if that place is even: round to nearest,
        // ties to even. NaN stays NaN, and infinity stays infinite.
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        let nan = bits & 0x7fff_ffff > 0x7f80_0000;
        let kept = if nan { bits | 0x0040_0000 } else { rounded };
        (kept >> 16) as u16
    }
}

impl ToBf16 for burn::tensor::bf16 {
    #[inline(always)]
    fn to_bits(self) -> u16 {
        Self::to_bits(self)
    }
}

/// Columns of the right matrix that are packed at once.
const COLUMNS: usize = 512;
/// Depth that is packed at once, an even number.
const INNER: usize = 4096;
/// Panels of rows per thread and pass: 48 rows, 100 KB at 1,024 deep, a share of the L2 cache.
const PANELS: usize = 4;

/// Packs some rows of a matrix as `[pairs, width]`; fills the rest with zeros.
fn lay_out<S: ToBf16>(
    m: &Strided<'_, S>,
    first: usize,
    inner: &Range<usize>,
    (width, target): (usize, &mut [u32]),
) {
    let count = width.min(m.rows - first);
    let word = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    let at = |row: usize, k: usize| match k < inner.end {
        true => m.at(first + row, k).to_bits(),
        false => 0,
    };
    if count < width {
        target.fill(0);
    }
    let ks = inner.clone().step_by(2);
    if m.row_stride == 1 {
        for (k, words) in ks.zip(target.chunks_exact_mut(width)) {
            for (row, target) in words[..count].iter_mut().enumerate() {
                *target = word(at(row, k), at(row, k + 1));
            }
        }
    } else {
        for row in 0..count {
            for (k, words) in ks.clone().zip(target.chunks_exact_mut(width)) {
                words[row] = word(at(row, k), at(row, k + 1));
            }
        }
    }
}

/// A matrix in any number type, for products in another type.
#[derive(Debug)]
pub(crate) struct Strided<'a, S> {
    values: &'a [S],
    rows: usize,
    inner: usize,
    row_stride: usize,
    inner_stride: usize,
}

impl<'a, S: ToBf16> Strided<'a, S> {
    /// Makes a matrix of `rows × inner` values, `strides` apart in each direction.
    ///
    /// # Panics
    ///
    /// If the slice is too short.
    pub(crate) fn new(
        values: &'a [S],
        [rows, inner]: [usize; 2],
        [row_stride, inner_stride]: [usize; 2],
    ) -> Self {
        let last = |count: usize, stride: usize| count.saturating_sub(1) * stride;
        let end = last(rows, row_stride) + last(inner, inner_stride);
        assert!(
            rows * inner == 0 || end < values.len(),
            "the matrix is larger than its slice"
        );
        Self {
            values,
            rows,
            inner,
            row_stride,
            inner_stride,
        }
    }

    /// Swaps rows and depth without moving values.
    pub(crate) fn turned(self) -> Self {
        Self {
            rows: self.inner,
            inner: self.rows,
            row_stride: self.inner_stride,
            inner_stride: self.row_stride,
            ..self
        }
    }

    #[inline(always)]
    fn at(&self, row: usize, k: usize) -> S {
        self.values[row * self.row_stride + k * self.inner_stride]
    }
}

/// Writes `a·bᵀ` to `target`, whose rows are `stride` apart, or with `add` adds it to the values
/// there, on all threads. Both matrices are rounded to bf16; the sums are in f32.
///
/// # Panics
///
/// If the sizes do not match.
pub(crate) fn product_into<A: ToBf16, B: ToBf16>(
    kernel: Kernel,
    target: &mut [f32],
    (stride, add): (usize, bool),
    a: &Strided<'_, A>,
    b: &Strided<'_, B>,
) {
    let _span = tracing::trace_span!("matmul").entered();
    let (m, n, depth) = (a.rows, b.rows, a.inner);
    assert_eq!(depth, b.inner, "the inner sizes of the matrices differ");
    if m * n == 0 {
        return;
    }
    assert!(stride >= n, "the rows of the product overlap");
    assert!(
        (m - 1) * stride + n <= target.len(),
        "the product is larger than its slice"
    );
    if depth == 0 && !add {
        target
            .chunks_mut(stride)
            .take(m)
            .for_each(|row| row[..n].fill(0.0));
    }
    let target = Shared(target.as_mut_ptr());
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for start in (0..depth).step_by(INNER) {
        let inner = start..depth.min(start + INNER);
        let pairs = inner.len().div_ceil(2);
        left.resize(m.div_ceil(ROWS) * ROWS * pairs, 0);
        left.par_chunks_exact_mut(ROWS * pairs)
            .enumerate()
            .for_each(|(panel, target)| lay_out(a, panel * ROWS, &inner, (ROWS, target)));
        for first in (0..n).step_by(COLUMNS) {
            let columns = COLUMNS.min(n - first);
            right.resize(columns.div_ceil(WIDTH) * WIDTH * pairs, 0);
            right
                .par_chunks_exact_mut(WIDTH * pairs)
                .enumerate()
                .for_each(|(panel, target)| {
                    lay_out(b, first + panel * WIDTH, &inner, (WIDTH, target));
                });
            let add = add || start > 0;
            left.par_chunks(PANELS * ROWS * pairs)
                .enumerate()
                .for_each(|(group, left)| {
                    for (j, right) in right.chunks_exact(WIDTH * pairs).enumerate() {
                        for (i, left) in left.chunks_exact(ROWS * pairs).enumerate() {
                            let mut sums = [[0.0; WIDTH]; ROWS];
                            // SAFETY: both panels hold this many pairs; `kernel()` gave the kernel.
                            unsafe { kernel(pairs, left.as_ptr(), right.as_ptr(), &mut sums) };
                            let row = (group * PANELS + i) * ROWS;
                            let column = first + j * WIDTH;
                            let width = WIDTH.min(n - column);
                            for (row, sums) in (row..m).zip(&sums) {
                                let start = target.at(row * stride + column);
                                // SAFETY: within the target, as asserted. Each entry belongs to one
                                // tile, and so to one thread.
                                let target =
                                    unsafe { std::slice::from_raw_parts_mut(start, width) };
                                store(target, &sums[..width], add);
                            }
                        }
                    }
                });
        }
    }
}

fn in_f32<'a, T: Real>(m: Matrix<'a, T>) -> Strided<'a, f32> {
    let strides = [m.row_stride, m.column_stride];
    Strided::new(bytemuck::cast_slice(m.values), [m.rows, m.columns], strides)
}

/// Does the same as [`product_into`] for two matrices in f32 and the product `a·b`.
///
/// # Panics
///
/// If `T` is not f32, or the sizes do not match.
pub(crate) fn rounded_product_into<T: Real>(
    kernel: Kernel,
    target: &mut [T],
    how: (usize, bool),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    let target = bytemuck::cast_slice_mut::<T, f32>(target);
    product_into(kernel, target, how, &in_f32(a), &in_f32(b.transposed()));
}

/// Does the same as [`product_into`], with `x` in f32.
///
/// # Panics
///
/// If `T` is not f32, or the sizes do not match.
pub(crate) fn weight_product_into<T: Real>(
    kernel: Kernel,
    target: &mut [T],
    how: (usize, bool),
    x: Matrix<'_, T>,
    rows: &Strided<'_, burn::tensor::bf16>,
) {
    let target = bytemuck::cast_slice_mut::<T, f32>(target);
    product_into(kernel, target, how, &in_f32(x), rows);
}

#[inline]
fn store(target: &mut [f32], sums: &[f32], add: bool) {
    if add {
        for (target, sum) in target.iter_mut().zip(sums) {
            *target += sum;
        }
    } else {
        target.copy_from_slice(sums);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use burn::tensor::bf16;
    use proptest::prelude::*;
    use std::cell::Cell;

    thread_local! {
        /// The kernel of this thread's products, independent of the processor.
        pub(super) static FORCED: Cell<Option<Kernel>> = const { Cell::new(None) };
    }

    /// Runs `work` with products in bf16 on any processor.
    pub(crate) fn in_bf16<T>(work: impl FnOnce() -> T) -> T {
        let _restore = Restore(FORCED.replace(Some(portable)));
        work()
    }

    struct Restore(Option<Kernel>);

    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }

    #[test]
    fn bf16_variable_accepts_only_known_words() {
        assert!(choose(Some("off")).is_ok_and(|chosen| chosen.is_none()));
        let portable = choose(Some("portable")).map(|chosen| chosen.map(|(_, name)| name));
        assert_eq!(portable, Ok(Some("portable")));
        let wrong = choose(Some("fast")).map(|chosen| chosen.map(|(_, name)| name));
        let error = wrong.expect_err("unknown");
        for part in ["BONE_BF16", "\"fast\"", "auto, off or portable"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7919 + seed * 31) % 201) as f32 / 100.0 - 1.0)
            .collect()
    }

    /// Compares each kernel that can run here with f64 sums of the same rounded numbers.
    fn compare([m, n, depth]: [usize; 3], views: [bool; 2], add: bool, gap: usize) {
        let kernels = [Some(portable as Kernel), kernel()];
        let (a, b) = (numbers(m * depth, 1), numbers(n * depth, 2));
        let half: Vec<bf16> = b.iter().map(|x| bf16::from_f32(*x)).collect();
        let strides = |rows: usize, turned: bool| if turned { [1, rows] } else { [depth, 1] };
        let (of_a, of_b) = (strides(m, views[0]), strides(n, views[1]));
        let stride = n + gap;
        for kernel in kernels.into_iter().flatten() {
            let mut target = vec![0.5; m * stride];
            product_into(
                kernel,
                &mut target,
                (stride, add),
                &Strided::new(&a, [m, depth], of_a),
                &Strided::new(&half, [n, depth], of_b),
            );
            for row in 0..m {
                for column in 0..stride {
                    let found = f64::from(target[row * stride + column]);
                    if column >= n {
                        assert_eq!(found, 0.5, "beside the product");
                        continue;
                    }
                    let sum: f64 = (0..depth)
                        .map(|k| {
                            let x = bf16::from_f32(a[row * of_a[0] + k * of_a[1]]);
                            let y = half[column * of_b[0] + k * of_b[1]];
                            x.to_f64() * y.to_f64()
                        })
                        .sum();
                    let expected = sum + if add { 0.5 } else { 0.0 };
                    // Sums of up to 4,099 terms in f32.
                    let bound = 1e-3_f64.max(1e-4 * expected.abs());
                    assert!((found - expected).abs() < bound, "{found}, not {expected}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn products_equal_products_of_rounded_inputs(
            sizes in [1usize..40, 1usize..80, 1usize..40],
            views in any::<[bool; 2]>(),
            add: bool,
            gap in 0usize..5,
        ) {
            compare(sizes, views, add, gap);
        }

        #[test]
        fn rounding_is_to_nearest(bits: u32) {
            let value = f32::from_bits(bits);
            let ours = ToBf16::to_bits(value);
            prop_assert_eq!(ours, bf16::from_f32(value).to_bits(), "{}", value);
        }
    }

    #[test]
    fn products_are_correct_across_panels_and_depths() {
        compare([50, COLUMNS + 33, 6], [false, true], false, 0);
        compare([3, 5, INNER + 3], [false, false], false, 1);
    }
}
