//! Reference bodies of bone on the input axis, in ordinary tensor operations.

use super::{Backend, BoneGrads, BoneWants, primitive, product_as, tensor};
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;

/// Reshapes `[n, in]` to `[in/r, n, r]`: slices first, so that one batched product covers all.
pub(super) fn slices<B: Backend>(x: Tensor<B, 2>, block: &Tensor<B, 3>) -> Tensor<B, 3> {
    let [blocks, r, _] = block.dims();
    let n = x.dims()[0];
    x.reshape([n, blocks, r]).swap_dims(0, 1)
}

/// Reshapes `[in/r, n, r]` back to `[n, in]`.
fn rows<B: Backend>(slices: Tensor<B, 3>) -> Tensor<B, 2> {
    let [blocks, n, r] = slices.dims();
    slices.swap_dims(0, 1).reshape([n, blocks * r])
}

/// Computes the reference result of [`Backend::bone_input_product`].
///
/// See the [example](crate::backend).
pub fn product<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    block: FloatTensor<B>,
) -> FloatTensor<B> {
    let (x, w, block) = (
        tensor::<B, 2>(input),
        tensor::<B, 2>(weight),
        tensor::<B, 3>(block),
    );
    let [n, out] = [x.dims()[0], w.dims()[1]];
    let r = block.dims()[1];
    let z = slices(x.clone(), &block).matmul(block.clone().transpose());
    let sum = z.clone().sum_dim(0).reshape([n, 1, r]);
    let dtype = w.dtype();
    let y = product_as(x + rows(z), w, dtype);
    primitive((y.reshape([n, out / r, r]) + sum).reshape([n, out]))
}

/// Computes the reference result of [`Backend::bone_input_backward`].
///
/// See the [example](crate::backend).
pub fn backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    block: FloatTensor<B>,
    grad: FloatTensor<B>,
    wants: BoneWants,
) -> BoneGrads<FloatTensor<B>> {
    let (x, w) = (tensor::<B, 2>(input), tensor::<B, 2>(weight));
    let (block, grad) = (tensor::<B, 3>(block), tensor::<B, 2>(grad));
    let [n, out] = grad.dims();
    let r = block.dims()[1];
    let x_slices = slices(x.clone(), &block);

    let d_weight = wants.weight.then(|| {
        let z = x_slices.clone().matmul(block.clone().transpose());
        let product = product_as((x + rows(z)).transpose(), grad.clone(), w.dtype());
        primitive(product.cast(w.dtype()))
    });
    if !(wants.input || wants.block) {
        return BoneGrads {
            input: None,
            weight: d_weight,
            block: None,
        };
    }
    let through_sum = grad.clone().reshape([n, out / r, r]).sum_dim(1);
    let dtype = w.dtype();
    let through_base = slices(product_as(grad, w.transpose(), dtype), &block);
    let d_z = through_base.clone() + through_sum.swap_dims(0, 1);
    BoneGrads {
        block: wants
            .block
            .then(|| primitive(d_z.clone().transpose().matmul(x_slices))),
        input: wants
            .input
            .then(|| primitive(rows(through_base + d_z.matmul(block)))),
        weight: d_weight,
    }
}
