//! Matrix products of views, into memory that is there or new.
//!
//! burn-flex makes its results' memory twice over (it is zeroed, then copied to be aligned) and its
//! batched product takes no views. Both are this crate's to choose when it calls the same library.

use burn::tensor::Element;
use burn_flex::FlexTensor;
use bytemuck::Pod;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// A number type with a matrix product.
pub(super) trait Real: Element + Pod + std::ops::AddAssign {
    const ZERO: Self;
    const ONE: Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// From this many multiplications on a product is worth more than one thread.
const PARALLEL: usize = 1 << 20;

/// A matrix that lies in a slice, any way round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// Rows of `stride` values each, of which the first `columns` count.
    ///
    /// # Panics
    ///
    /// Where the slice is too short, as everything here.
    pub(super) fn rows(values: &'a [T], [rows, columns]: [usize; 2], stride: usize) -> Self {
        Self::new(values, [rows, columns], [stride, 1])
    }

    fn new(values: &'a [T], [rows, columns]: [usize; 2], strides: [usize; 2]) -> Self {
        let [row_stride, column_stride] = strides;
        let last = |count: usize, stride: usize| count.saturating_sub(1) * stride;
        let end = last(rows, row_stride) + last(columns, column_stride);
        assert!(
            rows * columns == 0 || end < values.len(),
            "a matrix beyond its slice"
        );
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride,
        }
    }

    fn some_rows(self, first: usize, rows: usize) -> Self {
        let values = &self.values[first * self.row_stride..];
        let strides = [self.row_stride, self.column_stride];
        Self::new(values, [rows, self.columns], strides)
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A tensor of two dimensions that can be seen as a [`Matrix`]: itself unless it is a view backwards.
pub(super) fn forwards(tensor: FlexTensor) -> FlexTensor {
    match tensor.layout().strides().iter().all(|&stride| stride >= 0) {
        true => tensor,
        false => tensor.to_contiguous(),
    }
}

/// The matrix in a tensor that is [`forwards`].
pub(super) fn matrix<T: Real>(tensor: &FlexTensor) -> Matrix<'_, T> {
    let layout = tensor.layout();
    let strides = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
    let shape = [layout.shape()[0], layout.shape()[1]];
    let values = tensor.storage::<T>();
    let start = layout.start_offset().min(values.len());
    Matrix::new(&values[start..], shape, strides)
}

/// Writes `a·b` to `target`, whose rows are `stride` apart, or adds it to what is there, which then
/// has to be initialised.
fn run<T: Real>(
    target: &mut [MaybeUninit<T>],
    (stride, add): (usize, bool),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    parallelism: gemm::Parallelism,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "matrices that do not follow each other");
    assert!(stride >= n, "rows of a product over each other");
    let room = m.saturating_sub(1) * stride + n;
    assert!(room <= target.len(), "a product beyond its slice");
    let signed = |stride: usize| stride as isize;
    // SAFETY: all three matrices lie within their slices, as asserted here and where they were
    // made; the target is borrowed mutably, so it is none of the others. Nothing is read from a
    // target that is written over.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.as_mut_ptr().cast::<T>(),
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

/// Rows of a product that are worth a thread of their own.
const ROWS: usize = 256;

/// `a·b`, row by row, on all threads.
///
/// Each thread has rows of its own as long as they are enough for all: threads that share rows wait
/// for one another, which made products of 1,024 rows a tenth to a third slower on two threads.
pub(super) fn product<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>) -> Vec<T> {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    let count = m * n;
    if count == 0 || k == 0 {
        return vec![T::ZERO; count];
    }
    let mut values = Vec::with_capacity(count);
    let target = &mut values.spare_capacity_mut()[..count];
    if count * k < PARALLEL {
        run(target, (n, false), a, b, gemm::Parallelism::None);
    } else {
        let threads = rayon::current_num_threads();
        let parts = (m / ROWS).clamp(1, threads);
        let parallelism = match threads / parts {
            1 => gemm::Parallelism::None,
            shared => gemm::Parallelism::Rayon(shared),
        };
        let rows = m.div_ceil(parts);
        target
            .par_chunks_mut(rows * n)
            .enumerate()
            .for_each(|(part, target)| {
                let a = a.some_rows(part * rows, target.len() / n);
                run(target, (n, false), a, b, parallelism);
            });
    }
    // SAFETY: the products wrote every one of its entries.
    unsafe { values.set_len(count) };
    values
}

fn initialised<T>(slice: &mut [T]) -> &mut [MaybeUninit<T>] {
    // SAFETY: the types have one layout, and nothing here takes a value away.
    unsafe { &mut *(std::ptr::from_mut(slice) as *mut [MaybeUninit<T>]) }
}

/// Writes `a·b` to `target`, whose rows are `stride` apart, on this thread.
pub(super) fn product_to<T: Real>(
    target: &mut [T],
    stride: usize,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    let how = (stride, false);
    run(initialised(target), how, a, b, gemm::Parallelism::None);
}

/// Adds `a·b` to `target`, whose rows are `stride` apart, on this thread.
pub(super) fn add_product<T: Real>(
    target: &mut [T],
    stride: usize,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    let how = (stride, true);
    run(initialised(target), how, a, b, gemm::Parallelism::None);
}
