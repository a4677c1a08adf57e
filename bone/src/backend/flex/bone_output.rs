//! Bone on the output axis. `W'` is formed one panel of rows at a time and multiplied while it is
//! in the cache.

use super::weight::{Room, Weight};
use super::{add, cast, shape, tensor};
use crate::backend::{BoneGrads, BoneWants};
use crate::matrix::bf16::{Kernel, rounded_product_into};
use crate::matrix::{Matrix, Real, add_product, forwards, matrix, product_into, product_to};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;
use std::ops::Range;

/// A layer's adapter and its sizes.
struct Blocks<'a, T> {
    /// `[out/r, r, r]`.
    values: &'a [T],
    r: usize,
    d_input: usize,
}

impl<T: Real> Blocks<'_, T> {
    /// Returns the blocks of these rows of the weight. The rows must be whole blocks.
    fn of(&self, rows: &Range<usize>) -> &[T] {
        &self.values[rows.start * self.r..rows.end * self.r]
    }

    /// Returns the blocks of one block-row `[r, in]` below one another: `[in, r]`.
    fn listed<'a>(&self, block_row: &'a [T]) -> Matrix<'a, T> {
        Matrix::rows(block_row, [self.d_input, self.r], self.r)
    }

    fn block<'a>(&self, block: &'a [T]) -> Matrix<'a, T> {
        Matrix::rows(block, [self.r, self.r], self.r)
    }

    /// Writes `W'` of some rows to `target`: `W[o,k] + W[o,k]·B[o] + B[o]`.
    fn effective(&self, w: &[T], rows: &Range<usize>, target: &mut Room<T>) {
        target.resize(w.len(), T::ZERO);
        let (r, size) = (self.r, self.r * self.d_input);
        target
            .par_chunks_exact_mut(size)
            .zip(w.par_chunks_exact(size))
            .zip(self.of(rows).par_chunks_exact(r * r))
            .for_each(|((target, w), block)| {
                target.copy_from_slice(w);
                for (row, b) in target
                    .chunks_exact_mut(self.d_input)
                    .zip(block.chunks_exact(r))
                {
                    row.chunks_exact_mut(r).for_each(|part| add(part, b));
                }
                add_product(target, r, self.listed(w), self.block(block));
            });
    }

    /// Writes `Σ_k (W[o,k]ᵀ + I)·G[o,k]` of the block-rows of a panel to `target`.
    fn gradient(&self, w: &[T], outer: &[T], target: &mut [T]) {
        let (r, size) = (self.r, self.r * self.d_input);
        target
            .par_chunks_exact_mut(r * r)
            .zip(w.par_chunks_exact(size))
            .zip(outer.par_chunks_exact(size))
            .for_each(|((target, w), outer)| {
                product_to(target, r, self.listed(w).transposed(), self.listed(outer));
                for (sum, row) in target
                    .chunks_exact_mut(r)
                    .zip(outer.chunks_exact(self.d_input))
                {
                    row.chunks_exact(r).for_each(|part| add(sum, part));
                }
            });
    }

    /// Writes `G[o,k]·(I + B[o])ᵀ` of the block-rows of a panel to `target`.
    fn weight_gradient(&self, outer: &[T], rows: &Range<usize>, target: &mut [T]) {
        let (r, size) = (self.r, self.r * self.d_input);
        target.copy_from_slice(outer);
        target
            .par_chunks_exact_mut(size)
            .zip(outer.par_chunks_exact(size))
            .zip(self.of(rows).par_chunks_exact(r * r))
            .for_each(|((target, outer), block)| {
                add_product(
                    target,
                    r,
                    self.listed(outer),
                    self.block(block).transposed(),
                );
            });
    }
}

/// Multiplies with panels of a weight, in the weight's precision if the processor supports it.
fn multiply<T: Real>(
    kernel: Option<Kernel>,
    target: &mut [T],
    how: (usize, bool),
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    match kernel {
        Some(kernel) => rounded_product_into(kernel, target, how, a, b),
        None => product_into(target, how, a, b),
    }
}

pub(super) fn product<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
) -> FlexTensor {
    let _span = tracing::trace_span!("adapter").entered();
    let (x, weight, block) = (forwards(input), Weight::new(weight), block.to_contiguous());
    let ([n, _], [d_input, d_output]) = (shape(&x), weight.dims());
    let blocks = Blocks {
        values: block.storage::<T>(),
        r: shape::<3>(&block)[1],
        d_input,
    };
    let x = matrix::<T>(&x);
    let mut y = vec![T::ZERO; n * d_output];
    let kernel = weight.kernel::<T>();
    let (mut room, mut effective) = (Room::new(), Room::new());
    for rows in weight.panels(blocks.r) {
        let w = weight.rows::<T>(&rows, &mut room);
        blocks.effective(w, &rows, &mut effective);
        let panel = Matrix::rows(&effective, [rows.len(), d_input], d_input);
        let target = &mut y[rows.start.min(n * d_output)..];
        multiply(kernel, target, (d_output, false), x, panel.transposed());
    }
    tensor(y, [n, d_output])
}

pub(super) fn backward<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
    grad: FlexTensor,
    wants: BoneWants,
) -> BoneGrads<FlexTensor> {
    let _span = tracing::trace_span!("adapter").entered();
    let (x, grad, weight) = (forwards(input), forwards(grad), Weight::new(weight));
    let block = block.to_contiguous();
    let ([n, _], [d_input, d_output]) = (shape(&x), weight.dims());
    let [count, r, _] = shape(&block);
    let blocks = Blocks {
        values: block.storage::<T>(),
        r,
        d_input,
    };
    let (x, g) = (matrix::<T>(&x), matrix::<T>(&grad));
    let room_for = |wanted: bool, count: usize| vec![T::ZERO; if wanted { count } else { 0 }];
    let mut d_x = room_for(wants.input, n * d_input);
    let mut d_block = room_for(wants.block, count * r * r);
    // The layout of the file, `[out, in]`.
    let mut d_weight = room_for(wants.weight, d_output * d_input);
    let kernel = weight.kernel::<T>();
    let (mut room, mut effective, mut outer) = (Room::new(), Room::new(), Room::new());
    for rows in weight.panels(r) {
        let w = weight.rows::<T>(&rows, &mut room);
        let g = g.some_columns(&rows);
        let (here, whole) = ([rows.len(), d_input], rows.len() * d_input);
        if wants.input {
            blocks.effective(w, &rows, &mut effective);
            let how = (d_input, rows.start > 0);
            let effective = Matrix::rows(&effective, here, d_input);
            multiply(kernel, &mut d_x, how, g, effective);
        }
        if !(wants.block || wants.weight) {
            continue;
        }
        outer.resize(whole, T::ZERO);
        multiply(kernel, &mut outer, (d_input, false), g.transposed(), x);
        if wants.block {
            let target = &mut d_block[rows.start * r..rows.end * r];
            blocks.gradient(w, &outer, target);
        }
        if wants.weight {
            let target = &mut d_weight[rows.start * d_input..rows.end * d_input];
            blocks.weight_gradient(&outer, &rows, target);
        }
    }
    BoneGrads {
        input: wants.input.then(|| tensor(d_x, [n, d_input])),
        weight: wants.weight.then(|| {
            let d_weight = tensor(d_weight, [d_output, d_input]);
            let d_weight: Tensor<Flex, 2> = crate::backend::tensor(d_weight);
            let d_weight = crate::backend::primitive(d_weight.transpose());
            cast(d_weight, weight.tensor().dtype())
        }),
        block: wants.block.then(|| tensor(d_block, [count, r, r])),
    }
}
