//! Reference bodies of miss and miss-mini, in ordinary tensor operations.

use super::{Backend, BoneGrads, BoneWants, primitive, tensor};
use crate::graph::cat;
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;

/// Computes `Σ_k x[…, k·r:(k+1)·r]`: `[n, in]` → `[n, r]`, the last slice padded with zeros.
fn shard_sum<B: Backend>(x: Tensor<B, 2>, r: usize) -> Tensor<B, 2> {
    let [n, d_input] = x.dims();
    let shards = d_input.div_ceil(r);
    let x = if shards * r == d_input {
        x
    } else {
        // `pad` would make its zeros in the backend's default precision.
        let missing = [n, shards * r - d_input];
        let zeros = Tensor::zeros(missing, (&x.device(), x.dtype()));
        cat(vec![x, zeros], 1)
    };
    x.reshape([n, shards, r]).sum_dim(1).reshape([n, r])
}

/// Adds `[n, m]` to every part of the rows of `y` `[n, out]`.
fn add_tiled<B: Backend>(y: Tensor<B, 2>, tile: Tensor<B, 2>) -> Tensor<B, 2> {
    let ([n, d_output], [_, m]) = (y.dims(), tile.dims());
    match m == d_output {
        true => y + tile,
        false => (y.reshape([n, d_output / m, m]) + tile.reshape([n, 1, m])).reshape([n, d_output]),
    }
}

/// Applies a mask to `x`.
pub(super) fn masked<B: Backend>(x: Tensor<B, 2>, mask: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
    match mask {
        Some(mask) => x * mask,
        None => x,
    }
}

/// Computes the reference result of [`Backend::miss_product`].
///
/// See the [example](crate::backend).
pub fn product<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    block: FloatTensor<B>,
    mask: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let (x, block) = (tensor::<B, 2>(input.clone()), tensor::<B, 2>(block));
    let x = masked(x, mask.map(tensor));
    let y = tensor::<B, 2>(B::product(input, weight));
    let term = shard_sum(x, block.dims()[0]).matmul(block);
    primitive(add_tiled(y, term))
}

/// Computes the reference result of [`Backend::miss_backward`].
///
/// See the [example](crate::backend).
pub fn backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    block: FloatTensor<B>,
    mask: Option<FloatTensor<B>>,
    grad: FloatTensor<B>,
    wants: BoneWants,
) -> BoneGrads<FloatTensor<B>> {
    let of_base = [wants.input, wants.weight];
    let (x, block) = (tensor::<B, 2>(input.clone()), tensor::<B, 2>(block));
    let mask = mask.map(tensor::<B, 2>);
    let x = masked(x, mask.clone());
    let [d_input, d_weight] = B::product_backward(input, weight, grad.clone(), of_base);
    let grad = tensor::<B, 2>(grad);
    let ([n, d_output], [_, inputs], [r, m]) = (grad.dims(), x.dims(), block.dims());
    let grad = match m == d_output {
        true => grad,
        false => grad
            .reshape([n, d_output / m, m])
            .sum_dim(1)
            .reshape([n, m]),
    };
    let d_block = wants
        .block
        .then(|| primitive(shard_sum(x, r).transpose().matmul(grad.clone())));
    let d_input = d_input.map(|through_base| {
        let d_sum = grad.matmul(block.transpose());
        let tiled = d_sum.repeat_dim(1, inputs.div_ceil(r));
        let tiled = masked(tiled.slice([0..n, 0..inputs]), mask);
        primitive(tensor::<B, 2>(through_base) + tiled)
    });
    BoneGrads {
        input: d_input,
        weight: d_weight,
        block: d_block,
    }
}
