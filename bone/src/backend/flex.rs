//! The operations on the processor.

use super::{Backend, BoneGrads, BoneWants, LoraTerm, LoraWants};
use crate::matrix::Real;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

mod bone_input;
mod bone_output;
mod lora;
mod miss;
mod product;
#[cfg(test)]
mod tests;
mod thin;
mod weight;

fn cast(tensor: FlexTensor, dtype: DType) -> FlexTensor {
    let tensor: Tensor<Flex, 2> = super::tensor(tensor);
    super::primitive(tensor.cast(dtype))
}

fn tensor<T: Real, const D: usize>(values: Vec<T>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn shape<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    std::array::from_fn(|axis| tensor.layout().shape()[axis])
}

/// Computes `a += b` element by element, up to the shorter length.
#[inline]
fn add<T: Real>(a: &mut [T], b: &[T]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a += b;
    }
}

/// Adds each row of `tile` `[n, r]` to all slices of the row of `rows` `[n, ..]`; the last slice may
/// be short.
fn add_tiled<T: Real>(rows: &mut [T], tile: &[T], r: usize) {
    if tile.is_empty() {
        return;
    }
    let width = rows.len() / (tile.len() / r);
    rows.par_chunks_exact_mut(width)
        .with_min_len(16)
        .zip(tile.par_chunks_exact(r))
        .for_each(|(row, tile)| {
            for part in row.chunks_mut(r) {
                add(part, tile);
            }
        });
}

/// Computes `a ∘ b`.
fn times<T: Real>(a: &[T], b: &[T]) -> Vec<T> {
    let pairs = a.par_iter().with_min_len(1 << 14).zip(b);
    pairs.map(|(&a, &b)| a * b).collect()
}

/// Returns the sum of all slices of width `r` of each row of `rows` `[n, width]`: `[n, r]`; the
/// last slice may be short.
fn sum_tiles<T: Real>(rows: &[T], width: usize, r: usize) -> Vec<T> {
    let mut sums = vec![T::ZERO; rows.len() / width * r];
    sums.par_chunks_exact_mut(r)
        .with_min_len(16)
        .zip(rows.par_chunks_exact(width))
        .for_each(|(sum, row)| row.chunks(r).for_each(|part| add(sum, part)));
    sums
}

/// Runs the body for a tensor's precision, or the reference for a precision without its own body.
macro_rules! by_precision {
    ($tensor:expr, $own:ident :: $body:ident ($($argument:expr),*), $reference:expr) => {
        match $tensor.dtype() {
            DType::F32 => $own::$body::<f32>($($argument),*),
            DType::F64 => $own::$body::<f64>($($argument),*),
            _ => $reference($($argument),*),
        }
    };
}

impl Backend for Flex {
    fn multiplies_in(dtype: DType, _device: &Self::Device) -> bool {
        dtype == DType::BF16 && crate::matrix::bf16::kernel().is_some()
    }

    fn product(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let reference = super::product::forward::<Self>;
        by_precision!(input, product::forward(input, weight), reference)
    }

    fn product_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        let reference = super::product::backward::<Self>;
        by_precision!(
            input,
            product::backward(input, weight, grad, wants),
            reference
        )
    }

    fn bone_output_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let reference = super::bone_output::product::<Self>;
        by_precision!(block, bone_output::product(input, weight, block), reference)
    }

    fn bone_output_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: BoneWants,
    ) -> BoneGrads<FloatTensor<Self>> {
        let reference = super::bone_output::backward::<Self>;
        by_precision!(
            block,
            bone_output::backward(input, weight, block, grad, wants),
            reference
        )
    }

    fn bone_input_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let reference = super::bone_input::product::<Self>;
        by_precision!(block, bone_input::product(input, weight, block), reference)
    }

    fn bone_input_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: BoneWants,
    ) -> BoneGrads<FloatTensor<Self>> {
        let reference = super::bone_input::backward::<Self>;
        by_precision!(
            block,
            bone_input::backward(input, weight, block, grad, wants),
            reference
        )
    }

    fn miss_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        mask: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let reference = super::miss::product::<Self>;
        by_precision!(block, miss::product(input, weight, block, mask), reference)
    }

    fn miss_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        mask: Option<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants: BoneWants,
    ) -> BoneGrads<FloatTensor<Self>> {
        let reference = super::miss::backward::<Self>;
        by_precision!(
            block,
            miss::backward(input, weight, block, mask, grad, wants),
            reference
        )
    }

    fn lora_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        term: LoraTerm<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let reference = super::lora::product::<Self>;
        by_precision!(input, lora::product(input, weight, term), reference)
    }

    fn lora_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        term: LoraTerm<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants: LoraWants,
    ) -> [Option<FloatTensor<Self>>; 4] {
        let reference = super::lora::backward::<Self>;
        by_precision!(
            input,
            lora::backward(input, weight, term, grad, wants),
            reference
        )
    }
}
