//! The product with a weight.

use super::weight::{Room, Weight};
use super::{cast, shape, tensor, thin};
use crate::matrix::{Matrix, Real, forwards, matrix, product, product_into};
use burn_flex::FlexTensor;

/// Computes `x·W`.
pub(super) fn base<T: Real>(x: Matrix<'_, T>, n: usize, weight: &Weight) -> Vec<T> {
    let [d_input, d_output] = weight.dims();
    if let Some(rows) = x.contiguous()
        && weight.has_rows()
        && thin::suits::<T>(n)
    {
        return thin::product(rows, n, weight);
    }
    if weight.is::<T>() {
        return product(x, matrix(weight.tensor()));
    }
    let mut y = vec![T::ZERO; n * d_output];
    if let Some(kernel) = weight.kernel::<T>() {
        weight.product_in_bf16(kernel, &mut y, x, false);
        return y;
    }
    let mut room = Room::new();
    for rows in weight.panels(1) {
        let values = weight.rows::<T>(&rows, &mut room);
        let panel = Matrix::rows(values, [rows.len(), d_input], d_input);
        let target = &mut y[rows.start.min(n * d_output)..];
        product_into(target, (d_output, false), x, panel.transposed());
    }
    y
}

/// Computes `g·Wᵀ`, the gradient to the input of [`base`].
pub(super) fn base_backward<T: Real>(g: Matrix<'_, T>, n: usize, weight: &Weight) -> Vec<T> {
    let [d_input, _] = weight.dims();
    if weight.is::<T>() {
        return product(g, matrix::<T>(weight.tensor()).transposed());
    }
    let mut d_x = vec![T::ZERO; n * d_input];
    if let Some(kernel) = weight.kernel::<T>() {
        weight.product_in_bf16(kernel, &mut d_x, g, true);
        return d_x;
    }
    let mut room = Room::new();
    for rows in weight.panels(1) {
        let values = weight.rows::<T>(&rows, &mut room);
        let panel = Matrix::rows(values, [rows.len(), d_input], d_input);
        let add = rows.start > 0;
        product_into(&mut d_x, (d_input, add), g.some_columns(&rows), panel);
    }
    d_x
}

pub(super) fn forward<T: Real>(input: FlexTensor, weight: FlexTensor) -> FlexTensor {
    let (input, weight) = (forwards(input), Weight::new(weight));
    let [n, _] = shape(&input);
    let output = [n, weight.dims()[1]];
    tensor(base(matrix::<T>(&input), n, &weight), output)
}

/// Computes `xᵀ·g`, the gradient to the weight, in the weight's precision.
pub(super) fn weight_gradient<T: Real>(
    x: Matrix<'_, T>,
    g: Matrix<'_, T>,
    weight: &Weight,
) -> FlexTensor {
    let values = product(x.transposed(), g);
    cast(tensor(values, weight.dims()), weight.tensor().dtype())
}

pub(super) fn backward<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    grad: FlexTensor,
    [wants_input, wants_weight]: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let (input, grad, weight) = (forwards(input), forwards(grad), Weight::new(weight));
    let g = matrix::<T>(&grad);
    let [n, d_input] = shape(&input);
    let d_weight = wants_weight.then(|| weight_gradient(matrix(&input), g, &weight));
    let d_input = wants_input.then(|| tensor(base_backward(g, n, &weight), [n, d_input]));
    [d_input, d_weight]
}
