//! Miss: one pass computes the shard sum; its product is added in place to the base product.

use super::product::{base, base_backward, weight_gradient};
use super::weight::Weight;
use super::{add_tiled, shape, sum_tiles, tensor};
use crate::backend::{BoneGrads, BoneWants};
use crate::matrix::{Matrix, Real, product as matrix_product, product_into};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Computes the shard sums of the masked `x`.
fn shard_sums<T: Real>(x: &[T], mask: Option<&FlexTensor>, d_input: usize, r: usize) -> Vec<T> {
    let Some(mask) = mask else {
        return sum_tiles(x, d_input, r);
    };
    let mut sums = vec![T::ZERO; x.len() / d_input * r];
    sums.par_chunks_exact_mut(r)
        .with_min_len(16)
        .zip(x.par_chunks_exact(d_input))
        .zip(mask.storage::<T>().par_chunks_exact(d_input))
        .for_each(|((sum, row), mask)| {
            for (part, mask) in row.chunks(r).zip(mask.chunks(r)) {
                for ((sum, &x), &mask) in sum.iter_mut().zip(part).zip(mask) {
                    *sum += x * mask;
                }
            }
        });
    sums
}

/// Adds the masked rows of `tile` `[n, r]` to all slices of the matching row of `rows`.
fn add_masked<T: Real>(rows: &mut [T], tile: &[T], mask: &FlexTensor, d_input: usize, r: usize) {
    rows.par_chunks_exact_mut(d_input)
        .with_min_len(16)
        .zip(tile.par_chunks_exact(r))
        .zip(mask.storage::<T>().par_chunks_exact(d_input))
        .for_each(|((row, tile), mask)| {
            for (part, mask) in row.chunks_mut(r).zip(mask.chunks(r)) {
                for ((x, &tile), &mask) in part.iter_mut().zip(tile).zip(mask) {
                    *x += tile * mask;
                }
            }
        });
}

pub(super) fn product<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
    mask: Option<FlexTensor>,
) -> FlexTensor {
    let _span = tracing::trace_span!("adapter").entered();
    let mask = mask.map(|mask| mask.to_contiguous());
    let [x, block] = [input, block].map(|tensor| tensor.to_contiguous());
    let weight = Weight::new(weight);
    let ([n, d_input], [_, d_output], [r, width]) = (shape(&x), weight.dims(), shape(&block));
    let x = x.storage::<T>();
    let sums = shard_sums(x, mask.as_ref(), d_input, r);
    let sums = Matrix::rows(&sums, [n, r], r);
    let block = Matrix::rows(block.storage::<T>(), [r, width], width);
    let mut y = base(Matrix::rows(x, [n, d_input], d_input), n, &weight);
    if width == d_output {
        product_into(&mut y, (d_output, true), sums, block);
    } else {
        add_tiled(&mut y, &matrix_product(sums, block), width);
    }
    tensor(y, [n, d_output])
}

pub(super) fn backward<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
    mask: Option<FlexTensor>,
    grad: FlexTensor,
    wants: BoneWants,
) -> BoneGrads<FlexTensor> {
    let _span = tracing::trace_span!("adapter").entered();
    let mask = mask.map(|mask| mask.to_contiguous());
    let [x, block, grad] = [input, block, grad].map(|tensor| tensor.to_contiguous());
    let weight = Weight::new(weight);
    let ([n, d_input], [_, d_output], [r, width]) = (shape(&x), shape(&grad), shape(&block));
    let (x, g) = (x.storage::<T>(), grad.storage::<T>());
    let g_matrix = Matrix::rows(g, [n, d_output], d_output);
    let tiles;
    let of_block = match width == d_output {
        true => g_matrix,
        false => {
            tiles = sum_tiles(g, d_output, width);
            Matrix::rows(&tiles, [n, width], width)
        }
    };
    let d_block = wants.block.then(|| {
        let sums = shard_sums(x, mask.as_ref(), d_input, r);
        let sums = Matrix::rows(&sums, [n, r], r).transposed();
        tensor(matrix_product(sums, of_block), [r, width])
    });
    let d_weight = wants.weight.then(|| {
        let x = Matrix::rows(x, [n, d_input], d_input);
        weight_gradient(x, g_matrix, &weight)
    });
    let d_input = wants.input.then(|| {
        let mut d_x = base_backward(g_matrix, n, &weight);
        let block = Matrix::rows(block.storage::<T>(), [r, width], width);
        let d_sums = matrix_product(of_block, block.transposed());
        match &mask {
            Some(mask) => add_masked(&mut d_x, &d_sums, mask, d_input, r),
            None => add_tiled(&mut d_x, &d_sums, r),
        }
        tensor(d_x, [n, d_input])
    });
    BoneGrads {
        input: d_input,
        weight: d_weight,
        block: d_block,
    }
}
