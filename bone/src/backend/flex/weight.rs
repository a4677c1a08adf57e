//! Reads a weight's rows one panel at a time, in the precision of the product. So a weight in
//! another precision or layout needs no full-size copy.

use crate::matrix::bf16::{Kernel, Strided, kernel as bf16_kernel, weight_product_into};
use crate::matrix::{Matrix, Real};
use burn::tensor::{DType, Element, ElementConversion, bf16, f16};
use burn_flex::FlexTensor;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use std::ops::Range;

/// Rows per panel: enough for products at full speed, few enough to stay in the cache.
pub(super) const PANEL: usize = 512;

/// The rows of a weight `[out, in]`; burn holds it as a view `[in, out]`.
pub(super) struct Weight {
    tensor: FlexTensor,
}

/// Buffer for rows that must be converted or copied, one after another.
pub(super) type Room<T> = Vec<T>;

impl Weight {
    pub(super) fn new(tensor: FlexTensor) -> Self {
        Self {
            tensor: crate::matrix::forwards(tensor),
        }
    }

    /// Returns `[in, out]`.
    pub(super) fn dims(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.tensor.layout().shape()[axis])
    }

    pub(super) fn tensor(&self) -> &FlexTensor {
        &self.tensor
    }

    /// Returns whether the weight already has the type `T`.
    pub(super) fn is<T: Real>(&self) -> bool {
        self.tensor.dtype() == T::dtype()
    }

    /// Returns whether each row is contiguous, as in a checkpoint.
    pub(super) fn has_rows(&self) -> bool {
        self.tensor.layout().strides()[0] == 1
    }

    /// Returns the bf16 kernel if the weight is bf16, `T` is f32 and the processor has a kernel.
    pub(super) fn kernel<T: Real>(&self) -> Option<Kernel> {
        let half = self.tensor.dtype() == DType::BF16 && T::dtype() == DType::F32;
        half.then(bf16_kernel).flatten()
    }

    /// Returns a bf16 weight as `[out, in]`.
    fn in_bf16(&self) -> Strided<'_, bf16> {
        let layout = self.tensor.layout();
        let values = self.tensor.storage::<bf16>();
        let start = layout.start_offset().min(values.len());
        let [d_input, d_output] = self.dims();
        let [of_input, of_output] = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
        Strided::new(&values[start..], [d_output, d_input], [of_output, of_input])
    }

    /// Computes `x·W` for `x` `[n, in]`, or with `backwards` `g·Wᵀ` for `g` `[n, out]`, with the
    /// kernel.
    pub(super) fn product_in_bf16<T: Real>(
        &self,
        kernel: Kernel,
        target: &mut [T],
        x: Matrix<'_, T>,
        backwards: bool,
    ) {
        let [d_input, d_output] = self.dims();
        let (width, rows) = match backwards {
            false => (d_output, self.in_bf16()),
            true => (d_input, self.in_bf16().turned()),
        };
        weight_product_into(kernel, target, (width, false), x, &rows);
    }

    /// Iterates over ranges of whole blocks of `block` rows, about [`PANEL`] rows each.
    pub(super) fn panels(&self, block: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let [_, out] = self.dims();
        let step = (PANEL / block).max(1) * block;
        (0..out).step_by(step).map(move |at| at..out.min(at + step))
    }

    /// Returns these rows, `[rows, in]`, in place or copied to `room` on all threads.
    pub(super) fn rows<'a, T: Real>(
        &'a self,
        rows: &Range<usize>,
        room: &'a mut Room<T>,
    ) -> &'a [T] {
        self.rows_by(rows, room, 16)
    }

    /// Does the same as [`rows`](Self::rows), on this thread.
    pub(super) fn rows_here<'a, T: Real>(
        &'a self,
        rows: &Range<usize>,
        room: &'a mut Room<T>,
    ) -> &'a [T] {
        self.rows_by(rows, room, usize::MAX)
    }

    /// Does the same as [`rows`](Self::rows), with at least `together` rows per thread.
    fn rows_by<'a, T: Real>(
        &'a self,
        rows: &Range<usize>,
        room: &'a mut Room<T>,
        together: usize,
    ) -> &'a [T] {
        let [d_input, _] = self.dims();
        let layout = self.tensor.layout();
        let strides = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
        let start = layout.start_offset();
        if self.is::<T>() && strides[0] == 1 && strides[1] == d_input {
            let values = &self.tensor.storage::<T>()[start..];
            return &values[rows.start * d_input..rows.end * d_input];
        }
        room.resize(rows.len() * d_input, T::ZERO);
        let copy = Widening {
            room,
            rows: rows.clone(),
            start,
            strides,
            d_input,
            together,
        };
        match self.tensor.dtype() {
            DType::F64 => {
                let convert = |x: f64| x.elem();
                copy.run(self.tensor.storage::<f64>(), convert, each(convert));
            }
            DType::F16 => {
                let convert = |x: f16| T::from_f32(x.to_f32());
                copy.run(self.tensor.storage::<f16>(), convert, rows_of_f16);
            }
            DType::BF16 => {
                copy.run(self.tensor.storage::<bf16>(), of_bf16, each(of_bf16));
            }
            _ => copy.run(self.tensor.storage::<f32>(), T::from_f32, each(T::from_f32)),
        }
        room
    }
}

struct Widening<'a, T> {
    room: &'a mut [T],
    rows: Range<usize>,
    start: usize,
    /// Strides between inputs, and between rows.
    strides: [usize; 2],
    d_input: usize,
    together: usize,
}

impl<T: Real> Widening<'_, T> {
    /// Converts rows; `row` widens contiguous numbers.
    fn run<S: Element + Sync>(
        self,
        values: &[S],
        convert: impl Fn(S) -> T + Sync,
        row: impl Fn(&[S], &mut [T]) + Sync,
    ) {
        let [along, across] = self.strides;
        if self.d_input == 0 {
            return;
        }
        self.room
            .par_chunks_exact_mut(self.d_input)
            .with_min_len(self.together)
            .zip(self.rows.clone().into_par_iter())
            .for_each(|(target, index)| {
                let from = &values[self.start + index * across..];
                if along == 1 {
                    row(&from[..target.len()], target);
                } else {
                    for (target, &value) in target.iter_mut().zip(from.iter().step_by(along)) {
                        *target = convert(value);
                    }
                }
            });
    }
}

/// Applies `convert` to each element.
fn each<S: std::marker::Copy, T>(convert: impl Fn(S) -> T) -> impl Fn(&[S], &mut [T]) {
    move |from, target| {
        for (target, &value) in target.iter_mut().zip(from) {
            *target = convert(value);
        }
    }
}

/// Widens like `f32::from`, which also quiets NaNs and so prevents vectorisation.
#[inline(always)]
fn of_bf16<T: Real>(value: bf16) -> T {
    T::from_f32(f32::from_bits(u32::from(value.to_bits()) << 16))
}

/// Converts many numbers at once if the processor can.
fn rows_of_f16<T: Real>(from: &[f16], target: &mut [T]) {
    if T::dtype() == DType::F32 {
        from.convert_to_f32_slice(bytemuck::cast_slice_mut(target));
    } else {
        each(|x: f16| T::from_f32(x.to_f32()))(from, target);
    }
}
