//! Reference bodies of the product with a weight, in ordinary tensor operations.

use super::{Backend, primitive, product_as, tensor};
use burn::tensor::ops::FloatTensor;

/// Computes the reference result of [`Backend::product`].
///
/// See the [example](crate::backend).
pub fn forward<B: Backend>(input: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    let (x, w) = (tensor::<B, 2>(input), tensor::<B, 2>(weight));
    let dtype = w.dtype();
    primitive(product_as(x, w, dtype))
}

/// Computes the reference result of [`Backend::product_backward`].
///
/// See the [example](crate::backend).
pub fn backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    [wants_input, wants_weight]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let (x, w) = (tensor::<B, 2>(input), tensor::<B, 2>(weight));
    let grad = tensor::<B, 2>(grad);
    let d_weight = wants_weight.then(|| {
        let product = product_as(x.transpose(), grad.clone(), w.dtype());
        primitive(product.cast(w.dtype()))
    });
    let dtype = w.dtype();
    let d_input = wants_input.then(|| primitive(product_as(grad, w.transpose(), dtype)));
    [d_input, d_weight]
}
