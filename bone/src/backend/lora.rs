//! Reference bodies of LoRA, in ordinary tensor operations.

use super::miss::masked;
use super::{Backend, LoraTerm, LoraWants, primitive, tensor};
use crate::graph::cat;
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;

/// Computes the reference result of [`Backend::lora_product`].
///
/// See the [example](crate::backend).
pub fn product<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    term: LoraTerm<FloatTensor<B>>,
) -> FloatTensor<B> {
    let x = tensor::<B, 2>(input.clone());
    let [a, b] = term.factors.map(tensor::<B, 2>);
    let y = tensor::<B, 2>(B::product(input, weight));
    let inner = match (term.mask, a.dims()[0] - term.trained) {
        (Some(mask), fixed) if fixed > 0 => {
            let [trained, fixed] = parts(a, 0, term.trained);
            let trained = (x.clone() * tensor(mask)).matmul(trained.transpose());
            cat(vec![trained, x.matmul(fixed.transpose())], 1)
        }
        (mask, _) => masked(x, mask.map(tensor)).matmul(a.transpose()),
    };
    primitive(y + inner.mul_scalar(term.scale).matmul(b.transpose()))
}

/// Splits a tensor at `at` along `axis`.
fn parts<B: Backend>(whole: Tensor<B, 2>, axis: usize, at: usize) -> [Tensor<B, 2>; 2] {
    let rest = whole.dims()[axis] - at;
    [
        whole.clone().narrow(axis, 0, at),
        whole.narrow(axis, at, rest),
    ]
}

/// Pads a gradient with zeros along `axis`, up to `r`.
fn filled<B: Backend>(gradient: Tensor<B, 2>, axis: usize, r: usize) -> Tensor<B, 2> {
    let mut shape = gradient.dims();
    if shape[axis] == r {
        return gradient;
    }
    shape[axis] = r - shape[axis];
    let zeros = Tensor::zeros(shape, (&gradient.device(), gradient.dtype()));
    cat(vec![gradient, zeros], axis)
}

/// Computes the reference result of [`Backend::lora_backward`].
///
/// See the [example](crate::backend).
pub fn backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    term: LoraTerm<FloatTensor<B>>,
    grad: FloatTensor<B>,
    wants: LoraWants,
) -> [Option<FloatTensor<B>>; 4] {
    let (scale, trained) = (term.scale, term.trained);
    let mask = term.mask.map(tensor::<B, 2>);
    let x = masked(tensor::<B, 2>(input.clone()), mask.clone());
    let [a, b] = term.factors.map(tensor::<B, 2>);
    let r = a.dims()[0];
    let of_base = [wants.input, wants.weight];
    let [d_input, d_weight] = B::product_backward(input, weight, grad.clone(), of_base);
    let grad = tensor::<B, 2>(grad);
    let d_b = wants.b.then(|| {
        let a = a.clone().narrow(0, 0, trained);
        let inner = x.clone().matmul(a.transpose()).mul_scalar(scale);
        let d_b = grad.clone().transpose().matmul(inner);
        primitive(filled(d_b, 1, r))
    });
    if !(wants.a || wants.input) {
        return [None, d_weight, None, d_b];
    }
    let d_inner = grad.matmul(b).mul_scalar(scale);
    let d_a = wants.a.then(|| {
        let of_trained = d_inner.clone().transpose().narrow(0, 0, trained);
        primitive(filled(of_trained.matmul(x), 0, r))
    });
    let d_input = d_input.map(|through_base| {
        let through_a = match mask {
            Some(mask) if trained < r => {
                let [d_inner, d_fixed] = parts(d_inner, 1, trained);
                let [a, fixed] = parts(a, 0, trained);
                d_inner.matmul(a) * mask + d_fixed.matmul(fixed)
            }
            mask => masked(d_inner.matmul(a), mask),
        };
        primitive(tensor::<B, 2>(through_base) + through_a)
    });
    [d_input, d_weight, d_a, d_b]
}
