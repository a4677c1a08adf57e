//! Miss: the shard sum is made in one pass and its product added where the base's lies.

use super::product::{base, base_backward, weight_gradient};
use super::weight::Weight;
use super::{add_tiled, shape, sum_tiles, tensor};
use crate::backend::{BoneGrads, BoneWants};
use crate::matrix::{Matrix, Real, product as matrix_product, product_into};
use burn_flex::FlexTensor;

pub(super) fn product<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    block: FlexTensor,
) -> FlexTensor {
    let _span = tracing::trace_span!("adapter").entered();
    let [x, block] = [input, block].map(|tensor| tensor.to_contiguous());
    let weight = Weight::new(weight);
    let ([n, d_input], [_, d_output], [r, width]) = (shape(&x), weight.dims(), shape(&block));
    let x = x.storage::<T>();
    let sums = sum_tiles(x, d_input, r);
    let sums = Matrix::rows(&sums, [n, r], r);
    let block = Matrix::rows(block.storage::<T>(), [r, width], width);
    let mut y = base(Matrix::rows(x, [n, d_input], d_input), n, &weight);
    if width == d_output {
        product_into(&mut y, (d_output, true), sums, block);
    } else {
        add_tiled(&mut y, &matrix_product(sums, block), width);
    }
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
    let [x, block, grad] = [input, block, grad].map(|tensor| tensor.to_contiguous());
    let weight = Weight::new(weight);
    let ([n, d_input], [_, d_output], [r, width]) = (shape(&x), shape(&grad), shape(&block));
    let (x, g) = (x.storage::<T>(), grad.storage::<T>());
    let g_matrix = Matrix::rows(g, [n, d_output], d_output);
    let tiles;
    let of_block = match width == d_output {
        true => g_matrix,
        false => {
            tiles = sum_tiles(g, d_output, width);
            Matrix::rows(&tiles, [n, width], width)
        }
    };
    let d_block = wants.block.then(|| {
        let sums = sum_tiles(x, d_input, r);
        let sums = Matrix::rows(&sums, [n, r], r).transposed();
        tensor(matrix_product(sums, of_block), [r, width])
    });
    let d_weight = wants.weight.then(|| {
        let x = Matrix::rows(x, [n, d_input], d_input);
        weight_gradient(x, g_matrix, &weight)
    });
    let d_input = wants.input.then(|| {
        let mut d_x = base_backward(g_matrix, n, &weight);
        let block = Matrix::rows(block.storage::<T>(), [r, width], width);
        let d_sums = matrix_product(of_block, block.transposed());
        add_tiled(&mut d_x, &d_sums, r);
        tensor(d_x, [n, d_input])
    });
    BoneGrads {
        input: d_input,
        weight: d_weight,
        block: d_block,
    }
}
