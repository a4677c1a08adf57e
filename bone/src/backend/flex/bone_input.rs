//! Bone on the input axis: burn's products, and between them one pass over memory where tensor
//! operations take several, some of them element by element on one thread.

use crate::backend::bone_input::slices;
use crate::backend::{BoneGrads, BoneWants, primitive, tensor};
use burn::tensor::{Element, Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};
use bytemuck::Pod;
use rayon::prelude::*;
use std::ops::AddAssign;

/// Rows a thread takes at once.
const ROWS: usize = 16;

pub(super) trait Real: Element + Pod + AddAssign {}

impl<T: Element + Pod + AddAssign> Real for T {}

/// `a += b`, element by element.
#[inline]
fn add<T: Real>(a: &mut [T], b: &[T]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// Adds `slices` `[in/r, n, r]` to `rows` `[n, in]`, and to `sum` `[n, r]` where there is one.
fn add_slices<T: Real>(rows: &mut [T], slices: &[T], r: usize, n: usize, sum: Option<&mut [T]>) {
    if slices.is_empty() {
        return;
    }
    let width = slices.len() / n;
    let add_row = |index: usize, row: &mut [T], mut sum: Option<&mut [T]>| {
        for (k, part) in row.chunks_exact_mut(r).enumerate() {
            let slice = &slices[(k * n + index) * r..][..r];
            add(part, slice);
            if let Some(sum) = &mut sum {
                add(sum, slice);
            }
        }
    };
    let rows = rows.par_chunks_exact_mut(width).with_min_len(ROWS);
    match sum {
        Some(sum) => rows
            .zip(sum.par_chunks_exact_mut(r))
            .enumerate()
            .for_each(|(index, (row, sum))| add_row(index, row, Some(sum))),
        None => rows
            .enumerate()
            .for_each(|(index, row)| add_row(index, row, None)),
    }
}

/// Adds each row of `tile` `[n, r]` to all slices of the row of `rows` `[n, ..]`.
fn add_tiled<T: Real>(rows: &mut [T], tile: &[T], r: usize) {
    if tile.is_empty() {
        return;
    }
    let width = rows.len() / (tile.len() / r);
    rows.par_chunks_exact_mut(width)
        .with_min_len(ROWS)
        .zip(tile.par_chunks_exact(r))
        .for_each(|(row, tile)| {
            for part in row.chunks_exact_mut(r) {
                add(part, tile);
            }
        });
}

/// A copy of a tensor's values, in its order.
fn values<T: Real>(tensor: &FlexTensor) -> Vec<T> {
    tensor.to_contiguous().storage::<T>().to_vec()
}

fn made<T: Real, const D: usize>(values: Vec<T>, shape: [usize; D]) -> Tensor<Flex, D> {
    tensor(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// `x + z` `[n, in]` and `Σ_k z_k`, `n·r` values.
fn mixed<T: Real>(x: FlexTensor, block: &Tensor<Flex, 3>) -> (Tensor<Flex, 2>, Vec<T>) {
    let r = block.dims()[1];
    let mut mixed = values::<T>(&x);
    let x = tensor::<Flex, 2>(x);
    let [n, d_input] = x.dims();
    let z = primitive(slices(x, block).matmul(block.clone().transpose())).to_contiguous();
    let mut sum = vec![T::from_elem(0); n * r];
    add_slices(&mut mixed, z.storage::<T>(), r, n, Some(&mut sum));
    (made(mixed, [n, d_input]), sum)
}

pub(super) fn product<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
) -> FlexTensor {
    let (w, block) = (tensor::<Flex, 2>(weight), tensor::<Flex, 3>(block));
    let r = block.dims()[1];
    let (mixed, sum) = mixed::<T>(input, &block);
    let mut y = primitive(mixed.matmul(w.cast(block.dtype())));
    add_tiled(y.storage_mut::<T>(), &sum, r);
    y
}

pub(super) fn backward<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
    grad: FlexTensor,
    wants: BoneWants,
) -> BoneGrads<FlexTensor> {
    let (w, block) = (tensor::<Flex, 2>(weight), tensor::<Flex, 3>(block));
    let grad = grad.to_contiguous();
    let d_output = tensor::<Flex, 2>(grad.clone());
    let d_weight = wants.weight.then(|| {
        let (mixed, _) = mixed::<T>(input.clone(), &block);
        let product = mixed.transpose().matmul(d_output.clone());
        primitive(product.cast(w.dtype()))
    });
    let [n, out] = d_output.dims();
    let r = block.dims()[1];
    if !(wants.input || wants.block) {
        return BoneGrads {
            input: None,
            weight: d_weight,
            block: None,
        };
    }
    let mut through_sum = vec![T::from_elem(0); n * r];
    through_sum
        .par_chunks_exact_mut(r)
        .with_min_len(ROWS)
        .zip(grad.storage::<T>().par_chunks_exact(out))
        .for_each(|(sum, row)| row.chunks_exact(r).for_each(|part| add(sum, part)));
    let mut through_base =
        primitive(d_output.matmul(w.cast(block.dtype()).transpose())).to_contiguous();
    let mut d_z = values::<T>(&through_base);
    add_tiled(&mut d_z, &through_sum, r);
    let x = tensor::<Flex, 2>(input);
    let d_z = slices(made(d_z, x.dims()), &block);
    let d_block = wants
        .block
        .then(|| primitive(d_z.clone().transpose().matmul(slices(x, &block))));
    let d_input = wants.input.then(|| {
        let through_block = primitive(d_z.matmul(block)).to_contiguous();
        let slices = through_block.storage::<T>();
        add_slices(through_base.storage_mut::<T>(), slices, r, n, None);
        through_base
    });
    BoneGrads {
        input: d_input,
        weight: d_weight,
        block: d_block,
    }
}
