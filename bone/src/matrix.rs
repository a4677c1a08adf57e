//! Matrix products of views on the processor, into existing or new memory.
//!
//! burn-flex writes the memory of its results twice: it zeroes it, then copies it for alignment.
//! Its batched product takes no views. This crate calls the same library and avoids both.
//!
//! ```
//! use bone::matrix::{Matrix, add_product, product};
//!
//! let values: [f32; 4] = [1.0, 2.0, 3.0, 4.0];
//! let a = Matrix::rows(&values, [2, 2], 2);
//! assert_eq!(product(a, a.transposed()), [5.0, 11.0, 11.0, 25.0]);
//! // Adds the product to the left columns of rows of three values.
//! let mut target: [f32; 6] = [1.0; 6];
//! add_product(&mut target, 3, a, a);
//! assert_eq!(target, [8.0, 11.0, 1.0, 16.0, 23.0, 1.0]);
//! ```

use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

pub(crate) mod bf16;
mod view;

pub use bf16::instructions as bf16_instructions;
pub use view::{Matrix, Real, forwards, matrix};

/// From this many multiplications on, a product uses more than one thread.
const PARALLEL: usize = 1 << 20;

/// Panics if `m × n` values in rows `stride` apart do not fit.
fn assert_room<T>(target: &[T], [m, n]: [usize; 2], stride: usize) {
    assert!(stride >= n, "the rows of the product overlap");
    let room = m.saturating_sub(1).checked_mul(stride);
    let room = room.and_then(|room| room.checked_add(n));
    assert!(
        m == 0 || room.is_some_and(|room| room <= target.len()),
        "the product is larger than its slice"
    );
}

/// Writes `a·b` to `target`, whose rows are `stride` apart, or adds it to the values there. For
/// adding, the target must be initialised.
fn run<T: Real>(
    target: &mut [MaybeUninit<T>],
    (stride, add): (usize, bool),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    parallelism: gemm::Parallelism,
) {
    let (m, n) = (a.rows, b.columns);
    assert_room(target, [m, n], stride);
    // SAFETY: the target has room, as asserted, and is borrowed mutably, so it does not overlap the
    // inputs.
    unsafe { run_at(target.as_mut_ptr(), (stride, add), a, b, parallelism) };
}

/// Does the same as [`run`].
///
/// # Safety
///
/// The product's rows, `stride` apart from `target` on, are writable memory that no other code
/// reads or writes during the call. For `add` they are initialised.
unsafe fn run_at<T: Real>(
    target: *mut MaybeUninit<T>,
    (stride, add): (usize, bool),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    parallelism: gemm::Parallelism,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "the inner sizes of the matrices differ");
    let signed = |stride: usize| stride as isize;
    // SAFETY: both matrices lie within their slices, as their constructors assert. When
    // overwriting, the target is never read.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.cast::<T>(),
            1,
            signed(stride),
            add,
            a.values.as_ptr(),
            signed(a.column_stride),
            signed(a.row_stride),
            b.values.as_ptr(),
            signed(b.column_stride),
            signed(b.row_stride),
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Number of rows or columns of a product that justify their own thread.
const PART: usize = 256;

/// A split of a product's rows and columns among threads.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grid {
    parts: [usize; 2],
    part: [usize; 2],
    size: [usize; 2],
}

impl Grid {
    /// Splits by columns first. Then a thread copies only its share of the weight, which is the
    /// larger matrix when a product has few rows. (The head's gradient, 256 rows by 768 columns:
    /// 195 GFLOP/s on two threads, 181 when split by rows, 156 when the two threads share the
    /// whole.)
    fn new(size: [usize; 2], threads: usize) -> Self {
        let columns = (size[1] / PART).clamp(1, threads);
        let rows = (size[0] / PART).clamp(1, threads / columns);
        let parts = [rows, columns];
        let part = [0, 1].map(|axis| size[axis].div_ceil(parts[axis]));
        Self { parts, part, size }
    }

    fn count(&self) -> usize {
        self.parts[0] * self.parts[1]
    }

    /// Returns the rows and columns of part `i`.
    fn ranges(&self, i: usize) -> [Range<usize>; 2] {
        let at = [i / self.parts[1], i % self.parts[1]];
        [0, 1].map(|axis| {
            let end = |at: usize| (at * self.part[axis]).min(self.size[axis]);
            end(at[axis])..end(at[axis] + 1)
        })
    }
}

/// A product's memory; each thread writes its own part.
struct Shared<T>(*mut T);

// SAFETY: threads use it only to write a product's parts, which do not overlap.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// Writes `a·b` to `target`, whose rows are `stride` apart, or adds it to the values there, on all
/// threads.
///
/// Each thread gets its own part if there are enough parts. Threads that share a part wait for one
/// another: products of 1,024 rows were a tenth to a third slower on two threads.
fn share_out<T: Real>(
    target: &mut [MaybeUninit<T>],
    how: (usize, bool),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m.saturating_mul(n).saturating_mul(k) < PARALLEL {
        return run(target, how, a, b, gemm::Parallelism::None);
    }
    let (stride, _) = how;
    assert_room(target, [m, n], stride);
    let threads = rayon::current_num_threads();
    let grid = Grid::new([m, n], threads);
    let parallelism = match threads / grid.count() {
        1 => gemm::Parallelism::None,
        shared => gemm::Parallelism::Rayon(shared),
    };
    let target = Shared(target.as_mut_ptr());
    (0..grid.count()).into_par_iter().for_each(|i| {
        let [rows, columns] = grid.ranges(i);
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let (a, b) = (a.some_rows(&rows), b.some_columns(&columns));
        let start = target.at(rows.start * stride + columns.start);
        // SAFETY: the parts of a grid do not overlap and lie within m × n, which fits the target,
        // as asserted. Each part is written once.
        unsafe { run_at(start, how, a, b, parallelism) };
    });
}

/// Computes `a·b`, row by row, on all threads.
///
/// See the [example](crate::matrix).
pub fn product<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>) -> Vec<T> {
    let _span = tracing::trace_span!("matmul").entered();
    let (m, n, k) = (a.rows, b.columns, a.columns);
    let count = m * n;
    if count == 0 || k == 0 {
        return vec![T::ZERO; count];
    }
    let mut values = Vec::with_capacity(count);
    share_out(&mut values.spare_capacity_mut()[..count], (n, false), a, b);
    // SAFETY: the products wrote every entry.
    unsafe { values.set_len(count) };
    values
}

/// Writes `a·b` to `target`, whose rows are `stride` apart, or with `add` adds it to the values
/// there, on all threads.
///
/// The [example](crate::matrix) uses [`add_product`] in the same way.
///
/// # Panics
///
/// If it does not fit.
pub fn product_into<T: Real>(
    target: &mut [T],
    (stride, add): (usize, bool),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    let _span = tracing::trace_span!("matmul").entered();
    if a.rows * b.columns > 0 {
        share_out(initialised(target), (stride, add), a, b);
    }
}

fn initialised<T>(slice: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: both types have the same layout, and this function never leaves a value
    // uninitialised.
    unsafe { &mut *(std::ptr::from_mut(slice) as *mut [MaybeUninit<T>]) }
}

/// Writes `a·b` to `target`, whose rows are `stride` apart, on this thread.
///
/// The [example](crate::matrix) uses [`add_product`] in the same way.
pub fn product_to<T: Real>(target: &mut [T], stride: usize, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    let how = (stride, false);
    run(initialised(target), how, a, b, gemm::Parallelism::None);
}

/// Adds `a·b` to `target`, whose rows are `stride` apart, on this thread.
///
/// See the [example](crate::matrix).
pub fn add_product<T: Real>(target: &mut [T], stride: usize, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    let how = (stride, true);
    run(initialised(target), how, a, b, gemm::Parallelism::None);
}

#[cfg(test)]
mod tests {
    use super::{Grid, Matrix, PART, product_into};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn grid_parts_cover_each_entry_once(rows in 1..2000usize, columns in 1..2000usize, threads in 1..70usize) {
            let grid = Grid::new([rows, columns], threads);
            prop_assert!(grid.count() <= threads);
            let [mut of_rows, mut of_columns] = [vec![0; rows], vec![0; columns]];
            for i in 0..grid.count() {
                let [r, c] = grid.ranges(i);
                if i % grid.parts[1] == 0 {
                    r.clone().for_each(|row| of_rows[row] += 1);
                }
                if i < grid.parts[1] {
                    c.clone().for_each(|column| of_columns[column] += 1);
                }
                prop_assert_eq!(grid.ranges(i / grid.parts[1] * grid.parts[1])[0].clone(), r);
                prop_assert_eq!(grid.ranges(i % grid.parts[1])[1].clone(), c);
            }
            prop_assert!(of_rows.iter().chain(&of_columns).all(|&parts| parts == 1));
        }
    }

    /// Computes `a·b`, one entry after the other.
    fn by_hand(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f64> {
        let of = |entry: usize| {
            let (row, column) = (entry / n, entry % n);
            let term = |i| f64::from(a[row * k + i]) * f64::from(b[i * n + column]);
            (0..k).map(term).sum()
        };
        (0..m * n).map(of).collect()
    }

    /// Large enough for all threads, in rows and in columns. The target is part of a wider one; the
    /// product is added or overwrites; the matrices have either orientation.
    #[test]
    fn parallel_product_matches_plain_loops() {
        for sizes @ [m, k, n] in [[600, 70, 300], [64, 64, 700], [1100, 40, 40]] {
            assert!(m * k * n >= super::PARALLEL);
            let numbers = |count: usize, seed: usize| -> Vec<f32> {
                let number = |i: usize| ((i * 7919 + seed) % 1009) as f32 / 504.0 - 1.0;
                (0..count).map(number).collect()
            };
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            // Column-major.
            let turned: Vec<f32> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
            let expected = by_hand(&a, &b, sizes);
            for (add, b) in [
                (false, Matrix::rows(&b, [k, n], n)),
                (true, Matrix::rows(&turned, [n, k], k).transposed()),
            ] {
                let stride = n + 5;
                let before = numbers(m * stride, 3);
                let mut target = before.clone();
                product_into(&mut target, (stride, add), Matrix::rows(&a, [m, k], k), b);
                for (entry, (&found, &before)) in target.iter().zip(&before).enumerate() {
                    let (row, column) = (entry / stride, entry % stride);
                    let expected = match (column < n, add) {
                        (false, _) => f64::from(before),
                        (true, false) => expected[row * n + column],
                        (true, true) => expected[row * n + column] + f64::from(before),
                    };
                    let off = (f64::from(found) - expected).abs();
                    assert!(
                        off < 1e-4,
                        "{sizes:?}, add {add}, {row}, {column}: {found}, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn overflowing_matrix_sizes_are_refused() {
        let values = [0f32; 3];
        let third = usize::MAX / 3 + 1;
        for (size, strides) in [([4, 1], [third, 1]), ([1 << 33, 1 << 33], [0, 0])] {
            let made = std::panic::catch_unwind(|| Matrix::new(&values[..0], size, strides));
            assert!(made.is_err(), "{size:?}");
        }
        let target = std::panic::catch_unwind(|| super::assert_room(&values, [4, 1], third));
        assert!(target.is_err());
    }

    #[test]
    fn grid_splits_rows_when_columns_are_few() {
        assert_eq!(Grid::new([1024, 768], 2).parts, [1, 2]);
        assert_eq!(Grid::new([4 * PART, 100], 2).parts, [2, 1]);
        assert_eq!(Grid::new([4 * PART, 2 * PART], 8).parts, [4, 2]);
        assert_eq!(Grid::new([10, 10], 8).parts, [1, 1]);
    }
}
