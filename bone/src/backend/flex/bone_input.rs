//! Bone on the input axis. The adapter's small products write straight to their place in the
//! result, a few rows at a time. So nothing is transposed, copied or added afterwards.

use super::product::{base, base_backward, weight_gradient};
use super::weight::Weight;
use super::{add, add_tiled, shape, sum_tiles, tensor};
use crate::backend::{BoneGrads, BoneWants};
use crate::matrix::{Matrix, Real, add_product, product_to};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Rows per thread and pass: one product's share fits into a core's cache.
const ROWS: usize = 128;

/// The adapter's blocks `[in/r, r, r]`, one after the other.
struct Blocks<'a, T> {
    values: &'a [T],
    r: usize,
}

impl<T: Real> Blocks<'_, T> {
    fn all(&self) -> impl Iterator<Item = Matrix<'_, T>> {
        let r = self.r;
        self.values
            .chunks_exact(r * r)
            .map(move |block| Matrix::rows(block, [r, r], r))
    }
}

/// Returns slice `k` of rows of width `d_input`.
fn slice<T: Real>(rows: &[T], k: usize, r: usize, d_input: usize) -> Matrix<'_, T> {
    // Without rows, the slice is empty.
    let first = (k * r).min(rows.len());
    Matrix::rows(&rows[first..], [rows.len() / d_input, r], d_input)
}

/// Copies on all threads: touching new memory costs as much as copying.
fn copied<T: Real>(values: &[T]) -> Vec<T> {
    values.par_iter().with_min_len(1 << 14).copied().collect()
}

/// Computes `x + z` `[n, in]` and `Σ_k z_k` `[n, r]`, for `x` row by row.
fn mixed<T: Real>(x: &[T], blocks: &Blocks<'_, T>, d_input: usize) -> (Vec<T>, Vec<T>) {
    let r = blocks.r;
    let mut mixed = copied(x);
    let mut sum = vec![T::ZERO; x.len() / d_input * r];
    mixed
        .par_chunks_mut(ROWS * d_input)
        .zip(x.par_chunks(ROWS * d_input))
        .zip(sum.par_chunks_mut(ROWS * r))
        .for_each_init(Vec::new, |z, ((mixed, x), sum)| {
            z.resize(sum.len(), T::ZERO);
            for (k, block) in blocks.all().enumerate() {
                product_to(z, r, slice(x, k, r, d_input), block.transposed());
                add(sum, z);
                for (row, z) in mixed.chunks_exact_mut(d_input).zip(z.chunks_exact(r)) {
                    add(&mut row[k * r..][..r], z);
                }
            }
        });
    (mixed, sum)
}

pub(super) fn product<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
) -> FlexTensor {
    let _span = tracing::trace_span!("adapter").entered();
    let weight = Weight::new(weight);
    let (x, block) = (input.to_contiguous(), block.to_contiguous());
    let ([n, d_input], [_, d_output]) = (shape(&x), weight.dims());
    let [_, r, _] = shape(&block);
    let blocks = Blocks {
        values: block.storage::<T>(),
        r,
    };
    let (mixed, sum) = mixed(x.storage::<T>(), &blocks, d_input);
    let mut y = base(Matrix::rows(&mixed, [n, d_input], d_input), n, &weight);
    add_tiled(&mut y, &sum, r);
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
    let weight = Weight::new(weight);
    let [x, block, grad] = [input, block, grad].map(|tensor| tensor.to_contiguous());
    let ([n, d_input], [_, d_output]) = (shape(&x), shape(&grad));
    let [count, r, _] = shape(&block);
    let blocks = Blocks {
        values: block.storage::<T>(),
        r,
    };
    let (x, g) = (x.storage::<T>(), grad.storage::<T>());
    let g_matrix = Matrix::rows(g, [n, d_output], d_output);

    let d_weight = wants.weight.then(|| {
        let (mixed, _) = mixed(x, &blocks, d_input);
        let mixed = Matrix::rows(&mixed, [n, d_input], d_input);
        weight_gradient(mixed, g_matrix, &weight)
    });
    if !(wants.input || wants.block) {
        return BoneGrads {
            input: None,
            weight: d_weight,
            block: None,
        };
    }
    let through_sum = sum_tiles(g, d_output, r);
    let mut through_base = base_backward(g_matrix, n, &weight);
    let mut d_z = copied(&through_base);
    add_tiled(&mut d_z, &through_sum, r);

    let d_block = wants.block.then(|| {
        let mut d_block = vec![T::ZERO; count * r * r];
        d_block
            .par_chunks_exact_mut(r * r)
            .enumerate()
            .for_each(|(k, d_block)| {
                let d_z = slice(&d_z, k, r, d_input).transposed();
                product_to(d_block, r, d_z, slice(x, k, r, d_input));
            });
        tensor(d_block, [count, r, r])
    });
    let d_input = wants.input.then(|| {
        through_base
            .par_chunks_mut(ROWS * d_input)
            .zip(d_z.par_chunks(ROWS * d_input))
            .for_each(|(d_x, d_z)| {
                for (k, block) in blocks.all().enumerate() {
                    let d_z = slice(d_z, k, r, d_input);
                    add_product(&mut d_x[k * r..], d_input, d_z, block);
                }
            });
        tensor(through_base, [n, d_input])
    });
    BoneGrads {
        input: d_input,
        weight: d_weight,
        block: d_block,
    }
}
