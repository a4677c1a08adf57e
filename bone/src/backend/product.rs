//! Reference bodies of the product with a weight, in ordinary tensor operations.

use super::{primitive, tensor};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

pub(super) fn forward<B: Backend>(input: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    let (x, w) = (tensor::<B, 2>(input), tensor::<B, 2>(weight));
    let w = w.cast(x.dtype());
    primitive(x.matmul(w))
}

pub(super) fn backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    [wants_input, wants_weight]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let (x, w) = (tensor::<B, 2>(input), tensor::<B, 2>(weight));
    let grad = tensor::<B, 2>(grad);
    let d_weight = wants_weight.then(|| {
        let product = x.clone().transpose().matmul(grad.clone());
        primitive(product.cast(w.dtype()))
    });
    let d_input = wants_input.then(|| primitive(grad.matmul(w.cast(x.dtype()).transpose())));
    [d_input, d_weight]
}
