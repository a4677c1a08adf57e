//! The product with a weight.

use super::{cast, weight_like};
use crate::matrix::{Real, forwards, matrix, product};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;

fn tensor<T: Real>(values: Vec<T>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn shape(tensor: &FlexTensor) -> [usize; 2] {
    [0, 1].map(|axis| tensor.layout().shape()[axis])
}

pub(super) fn forward<T: Real>(input: FlexTensor, weight: FlexTensor) -> FlexTensor {
    let weight = forwards(weight_like(weight, &input));
    let input = forwards(input);
    let output = [shape(&input)[0], shape(&weight)[1]];
    tensor(product(matrix::<T>(&input), matrix(&weight)), output)
}

pub(super) fn backward<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    grad: FlexTensor,
    [wants_input, wants_weight]: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let (input, grad) = (forwards(input), forwards(grad));
    let of_weight = weight.dtype();
    let (in_shape, w_shape) = (shape(&input), shape(&weight));
    let d_weight = wants_weight.then(|| {
        let product = product(matrix::<T>(&input).transposed(), matrix(&grad));
        cast(tensor(product, w_shape), of_weight)
    });
    let d_input = wants_input.then(|| {
        let weight = forwards(weight_like(weight, &grad));
        tensor(
            product(matrix::<T>(&grad), matrix(&weight).transposed()),
            in_shape,
        )
    });
    [d_input, d_weight]
}
