//! Reference bodies of LoRA, in ordinary tensor operations.

use super::miss::masked;
use super::{Backend, LoraWants, primitive, tensor};
use burn::tensor::ops::FloatTensor;

/// The reference of [`Backend::lora_product`].
pub fn product<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    factors: [FloatTensor<B>; 2],
    scale: f64,
    mask: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let x = masked(tensor::<B, 2>(input.clone()), mask.map(tensor));
    let [a, b] = factors.map(tensor::<B, 2>);
    let y = tensor::<B, 2>(B::product(input, weight));
    let inner = x.matmul(a.transpose()).mul_scalar(scale);
    primitive(y + inner.matmul(b.transpose()))
}

/// The reference of [`Backend::lora_backward`].
pub fn backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    factors: [FloatTensor<B>; 2],
    (scale, mask): (f64, Option<FloatTensor<B>>),
    grad: FloatTensor<B>,
    wants: LoraWants,
) -> [Option<FloatTensor<B>>; 4] {
    let mask = mask.map(tensor::<B, 2>);
    let x = masked(tensor::<B, 2>(input.clone()), mask.clone());
    let [a, b] = factors.map(tensor::<B, 2>);
    let of_base = [wants.input, wants.weight];
    let [d_input, d_weight] = B::product_backward(input, weight, grad.clone(), of_base);
    let grad = tensor::<B, 2>(grad);
    let d_b = wants.b.then(|| {
        let inner = x.clone().matmul(a.clone().transpose()).mul_scalar(scale);
        primitive(grad.clone().transpose().matmul(inner))
    });
    if !(wants.a || wants.input) {
        return [None, d_weight, None, d_b];
    }
    let d_inner = grad.matmul(b).mul_scalar(scale);
    let d_a = wants
        .a
        .then(|| primitive(d_inner.clone().transpose().matmul(x)));
    let d_input = d_input.map(|through_base| {
        let through_a = masked(d_inner.matmul(a), mask);
        primitive(tensor::<B, 2>(through_base) + through_a)
    });
    [d_input, d_weight, d_a, d_b]
}
