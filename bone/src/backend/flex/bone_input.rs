//! Bone on the input axis: the small products of the adapter go straight to where their results
//! belong, a few rows at a time, so that nothing is transposed, copied or added up afterwards.

use super::weight_like;
use crate::backend::{BoneGrads, BoneWants};
use crate::matrix::{
    Matrix, Real, add_product, forwards, matrix, product as matrix_product, product_to,
};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Rows a thread takes at once: one product's share that stays in a core's cache.
const ROWS: usize = 128;

/// `a += b`, element by element.
#[inline]
fn add<T: Real>(a: &mut [T], b: &[T]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

fn tensor<T: Real, const D: usize>(values: Vec<T>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn shape<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    std::array::from_fn(|axis| tensor.layout().shape()[axis])
}

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

/// Slice `k` of some rows of width `d_input`.
fn slice<T: Real>(rows: &[T], k: usize, r: usize, d_input: usize) -> Matrix<'_, T> {
    Matrix::rows(&rows[k * r..], [rows.len() / d_input, r], d_input)
}

/// A copy, made on all threads: new memory is as much work as the copying.
fn copied<T: Real>(values: &[T]) -> Vec<T> {
    values.par_iter().with_min_len(1 << 14).copied().collect()
}

/// `x + z` `[n, in]` and `Σ_k z_k` `[n, r]`, for `x` row by row.
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

/// Adds each row of `tile` `[n, r]` to all slices of the row of `rows` `[n, ..]`.
fn add_tiled<T: Real>(rows: &mut [T], tile: &[T], r: usize) {
    if tile.is_empty() {
        return;
    }
    let width = rows.len() / (tile.len() / r);
    rows.par_chunks_exact_mut(width)
        .with_min_len(16)
        .zip(tile.par_chunks_exact(r))
        .for_each(|(row, tile)| {
            for part in row.chunks_exact_mut(r) {
                add(part, tile);
            }
        });
}

pub(super) fn product<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
) -> FlexTensor {
    let _span = tracing::trace_span!("adapter").entered();
    let weight = forwards(weight_like(weight, &block));
    let (x, block) = (input.to_contiguous(), block.to_contiguous());
    let ([n, d_input], [_, d_output]) = (shape(&x), shape(&weight));
    let [_, r, _] = shape(&block);
    let blocks = Blocks {
        values: block.storage::<T>(),
        r,
    };
    let (mixed, sum) = mixed(x.storage::<T>(), &blocks, d_input);
    let mut y = matrix_product(Matrix::rows(&mixed, [n, d_input], d_input), matrix(&weight));
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
    let of_weight = weight.dtype();
    let weight = forwards(weight_like(weight, &block));
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
        let product = tensor(
            matrix_product(mixed.transposed(), g_matrix),
            [d_input, d_output],
        );
        super::cast(product, of_weight)
    });
    if !(wants.input || wants.block) {
        return BoneGrads {
            input: None,
            weight: d_weight,
            block: None,
        };
    }
    let mut through_sum = vec![T::ZERO; n * r];
    through_sum
        .par_chunks_exact_mut(r)
        .with_min_len(16)
        .zip(g.par_chunks_exact(d_output))
        .for_each(|(sum, row)| row.chunks_exact(r).for_each(|part| add(sum, part)));
    let mut through_base = matrix_product(g_matrix, matrix(&weight).transposed());
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
