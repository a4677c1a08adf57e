//! Reference bodies of bone on the output axis, in ordinary tensor operations.

use super::{Backend, BoneGrads, BoneWants, primitive, product_as, tensor};
use crate::graph::cat;
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;
use std::ops::Range;

/// Minimum number of rows of `W` per group: enough for a full-speed matrix product.
const GROUP_ROWS: usize = 256;

/// Number of groups of a tall `W`. A fixed number keeps the number of launches constant and the
/// temporaries small compared with `W`.
const GROUPS: usize = 8;

/// Computes `W'` of some block-rows. `rows` is `[g·r, in]`, `block` is `[g, r, r]`; the result is
/// `[g·r, in]`.
///
/// Row-major `[g·r, in]` read as `[g, r·in/r, r]` lists every row of every block of one block-row,
/// so `W[o,k]·B[o]` for all k is one batched product.
fn effective_rows<B: Backend>(rows: Tensor<B, 2>, block: Tensor<B, 3>) -> Tensor<B, 2> {
    let [out, input] = rows.dims();
    let [g, r, _] = block.dims();
    let product = rows
        .clone()
        .reshape([g, r * (input / r), r])
        .matmul(block.clone());
    let sum = rows.reshape([g, r, input / r, r])
        + product.reshape([g, r, input / r, r])
        + block.unsqueeze_dim::<4>(2);
    sum.reshape([out, input])
}

/// Iterates over groups of block-rows of a weight `[out, in]`: the rows widened to the blocks'
/// precision, their blocks, and their row range.
fn groups<'a, B: Backend>(
    w: &'a Tensor<B, 2>,
    block: &'a Tensor<B, 3>,
) -> impl Iterator<Item = (Tensor<B, 2>, Tensor<B, 3>, Range<usize>)> + 'a {
    let [_, d_in] = w.dims();
    let [blocks, r, _] = block.dims();
    let step = (GROUP_ROWS / r).max(blocks.div_ceil(GROUPS)).max(1);
    (0..blocks).step_by(step).map(move |first| {
        let g = step.min(blocks - first);
        let rows = first * r..(first + g) * r;
        let w_rows = w.clone().slice([rows.clone(), 0..d_in]);
        let b_rows = block.clone().slice([first..first + g, 0..r, 0..r]);
        (w_rows.cast(block.dtype()), b_rows, rows)
    })
}

/// Computes the reference result of [`Backend::bone_output_product`].
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
    let (dtype, w) = (w.dtype(), w.transpose());
    // Half-precision weights are widened: `W'` is formed in the adapter's precision. It is rounded
    // again where the product runs in half precision.
    let parts = groups(&w, &block).map(|(w_rows, b_rows, _)| {
        let effective = effective_rows(w_rows, b_rows);
        product_as(x.clone(), effective.transpose(), dtype)
    });
    primitive(cat(parts.collect(), 1))
}

/// Computes the reference result of [`Backend::bone_output_backward`].
///
/// See the [example](crate::backend).
pub fn backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    block: FloatTensor<B>,
    grad: FloatTensor<B>,
    wants: BoneWants,
) -> BoneGrads<FloatTensor<B>> {
    let (x, w) = (tensor::<B, 2>(input), tensor::<B, 2>(weight).transpose());
    let (block, grad) = (tensor::<B, 3>(block), tensor::<B, 2>(grad));
    let [out, d_in] = w.dims();
    let [blocks, r, _] = block.dims();

    let mut d_input: Option<Tensor<B, 2>> = None;
    let (mut d_weight, mut d_block) = (Vec::new(), Vec::new());
    for (w_rows, b_rows, rows) in groups(&w, &block) {
        let g = rows.len() / r;
        let grad_rows = grad.clone().slice([0..grad.dims()[0], rows]);

        if wants.input {
            let effective = effective_rows(w_rows.clone(), b_rows.clone());
            let part = product_as(grad_rows.clone(), effective, w.dtype());
            d_input = Some(match d_input {
                Some(sum) => sum + part,
                None => part,
            });
        }
        if !(wants.block || wants.weight) {
            continue;
        }
        // G for these block-rows only: [g·r, in] read as [g, r·in/r, r].
        let outer =
            product_as(grad_rows.transpose(), x.clone(), w.dtype()).reshape([g, r * (d_in / r), r]);
        if wants.block {
            let w_blocks = w_rows.reshape([g, r * (d_in / r), r]);
            let through_product = w_blocks.transpose().matmul(outer.clone());
            let through_sum = outer
                .clone()
                .reshape([g, r, d_in / r, r])
                .sum_dim(2)
                .reshape([g, r, r]);
            d_block.push(through_product + through_sum);
        }
        if wants.weight {
            let d = outer.clone() + outer.matmul(b_rows.transpose());
            d_weight.push(d.reshape([g * r, d_in]));
        }
    }
    debug_assert_eq!(out, blocks * r);
    BoneGrads {
        input: d_input.map(primitive),
        weight: wants
            .weight
            .then(|| primitive(cat(d_weight, 0).transpose().cast(w.dtype()))),
        block: wants.block.then(|| primitive(cat(d_block, 0))),
    }
}
