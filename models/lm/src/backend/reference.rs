//! The operations in ordinary tensor operations, as the reference for faster ones.

use super::{Gate, NormGrads, NormParams};
use bone::graph::cat;
use burn::tensor::activation::{log_softmax, relu, sigmoid};
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{
    IndexingUpdateOp, Int, Shape, Slice, Tensor, TensorMetadata, TensorPrimitive, backend::Backend,
};

pub use super::adamw::{adamw, squared_sum};
pub use super::attention::{
    backward as windowed_attention_backward, forward as windowed_attention,
};

pub(super) fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

pub(super) fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// Returns `log softmax(logits)`, and the negative of its entries at the targets `[n, 1]`.
fn log_p<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (Tensor<B, 2>, Tensor<B, 2>, Tensor<B, 2, Int>) {
    let logits = tensor::<B, 2>(logits);
    let n = logits.dims()[0];
    let targets = Tensor::<B, 1, Int>::from_primitive(targets).reshape([n, 1]);
    let log_p = log_softmax(logits, 1);
    let losses = log_p.clone().gather(1, targets.clone()).neg();
    (log_p, losses, targets)
}

/// Computes the reference result of [`cross_entropy`](crate::Backend::cross_entropy).
pub fn cross_entropy<B: Backend>(logits: FloatTensor<B>, targets: IntTensor<B>) -> FloatTensor<B> {
    let (_, losses, _) = log_p::<B>(logits, targets);
    let n = losses.dims()[0];
    primitive(losses.reshape([n]))
}

/// Computes the reference result of
/// [`cross_entropy_and_gradient`](crate::Backend::cross_entropy_and_gradient).
pub fn cross_entropy_and_gradient<B: Backend>(
    logits: FloatTensor<B>,
    targets: IntTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (log_p, losses, targets) = log_p::<B>(logits, targets);
    let n = losses.dims()[0];
    let minus_one = losses.ones_like().neg();
    let gradient = log_p
        .exp()
        .scatter(1, targets, minus_one, IndexingUpdateOp::Add);
    (primitive(losses.reshape([n])), primitive(gradient))
}

/// Computes the reference result of [`scale_rows`](crate::Backend::scale_rows).
pub fn scale_rows<B: Backend>(rows: FloatTensor<B>, factors: FloatTensor<B>) -> FloatTensor<B> {
    let factors = tensor::<B, 1>(factors);
    let n = factors.dims()[0];
    primitive(tensor::<B, 2>(rows) * factors.reshape([n, 1]))
}

/// Reshapes rows by group: `[n, groups, size / groups]`.
fn grouped<B: Backend>(rows: Tensor<B, 2>, groups: usize) -> Tensor<B, 3> {
    let [n, size] = rows.dims();
    rows.reshape([n, groups, size / groups])
}

/// Returns `(x − mean) / √(variance + ε)` and `1 / √(variance + ε)`, by group.
fn normalised<B: Backend>(
    input: Tensor<B, 2>,
    groups: usize,
    epsilon: f64,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    let x = grouped(input, groups);
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    // burn-ndarray's `recip` has only 12 bits.
    let factor = variance.add_scalar(epsilon).powf_scalar(-0.5);
    (centred * factor.clone(), factor)
}

/// Computes the reference result of [`grouped_norm`](crate::Backend::grouped_norm).
pub fn grouped_norm<B: Backend>(
    input: FloatTensor<B>,
    params: NormParams<FloatTensor<B>>,
) -> FloatTensor<B> {
    let input = tensor::<B, 2>(input);
    let shape = input.dims();
    let (normalised, _) = normalised(input, params.groups, params.epsilon);
    let weight = tensor::<B, 1>(params.weight).unsqueeze();
    let bias = tensor::<B, 1>(params.bias).unsqueeze();
    primitive(normalised.reshape(shape) * weight + bias)
}

/// Computes the reference result of [`grouped_norm_backward`](crate::Backend::grouped_norm_backward).
pub fn grouped_norm_backward<B: Backend>(
    input: FloatTensor<B>,
    params: NormParams<FloatTensor<B>>,
    grad: FloatTensor<B>,
    wants_params: bool,
) -> NormGrads<FloatTensor<B>> {
    let (input, grad) = (tensor::<B, 2>(input), tensor::<B, 2>(grad));
    let shape = input.dims();
    let (normalised, factor) = normalised(input, params.groups, params.epsilon);
    let weight = tensor::<B, 1>(params.weight).unsqueeze();
    let d_normalised = grouped(grad.clone() * weight, params.groups);
    let along = (d_normalised.clone() * normalised.clone()).mean_dim(2);
    let mean = d_normalised.clone().mean_dim(2);
    let d_input = (d_normalised - mean - normalised.clone() * along) * factor;
    let params = wants_params.then(|| {
        let d_weight = (grad.clone() * normalised.reshape(shape)).sum_dim(0);
        let d_bias = grad.sum_dim(0);
        let vector = |sum: Tensor<B, 2>| primitive(sum.reshape([shape[1]]));
        (vector(d_weight), vector(d_bias))
    });
    NormGrads {
        input: primitive(d_input.reshape(shape)),
        params,
    }
}

/// Computes `f(x)` and `f'(x)`.
fn gate<B: Backend>(x: Tensor<B, 1>, function: Gate) -> (Tensor<B, 1>, Tensor<B, 1>) {
    match function {
        Gate::Silu => {
            let s = sigmoid(x.clone());
            let y = x.clone() * s.clone();
            let slope = s.clone() + y.clone() * (s.neg() + 1.0);
            (y, slope)
        }
        Gate::Sigmoid => {
            let s = sigmoid(x);
            (s.clone(), s.clone() * (s.neg() + 1.0))
        }
        Gate::Relu => {
            let dtype = x.dtype();
            let slope = x.clone().greater_elem(0.0).float().cast(dtype);
            (relu(x), slope)
        }
    }
}

/// Computes the reference result of [`tanh_backward`](crate::Backend::tanh_backward).
pub fn tanh_backward<B: Backend>(output: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    let shape = output.shape();
    let slope = flat::<B>(output).square().neg().add_scalar(1.0);
    B::float_reshape(primitive(flat::<B>(grad) * slope), shape)
}

/// Computes the reference result of [`softmax_last`](crate::Backend::softmax_last).
pub fn softmax_last<B: Backend>(input: FloatTensor<B>) -> FloatTensor<B> {
    let last = input.shape().num_dims() - 1;
    B::softmax(input, last)
}

/// Computes the reference result of [`softmax_last_backward`](crate::Backend::softmax_last_backward).
pub fn softmax_last_backward<B: Backend>(
    output: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let last = output.shape().num_dims() - 1;
    let along = B::float_sum_dim(B::float_mul(grad.clone(), output.clone()), last);
    B::float_mul(output, B::float_sub(grad, along))
}

/// Flattens a tensor to one dimension.
fn flat<B: Backend>(tensor: FloatTensor<B>) -> Tensor<B, 1> {
    let count = tensor.shape().num_elements();
    Tensor::from_primitive(TensorPrimitive::Float(B::float_reshape(
        tensor,
        Shape::from([count]),
    )))
}

/// Computes the reference result of [`gated`](crate::Backend::gated).
pub fn gated<B: Backend>(
    gate: FloatTensor<B>,
    value: FloatTensor<B>,
    function: Gate,
) -> FloatTensor<B> {
    let shape = gate.shape();
    let (gate, _) = self::gate(flat::<B>(gate), function);
    B::float_reshape(primitive(gate * flat::<B>(value)), shape)
}

/// Computes the reference result of [`gated_backward`](crate::Backend::gated_backward).
pub fn gated_backward<B: Backend>(
    gate: FloatTensor<B>,
    value: FloatTensor<B>,
    grad: FloatTensor<B>,
    function: Gate,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let shape = gate.shape();
    let (gate, slope) = self::gate(flat::<B>(gate), function);
    let grad = flat::<B>(grad);
    let d_gate = primitive(grad.clone() * flat::<B>(value) * slope);
    (
        B::float_reshape(d_gate, shape.clone()),
        B::float_reshape(primitive(grad * gate), shape),
    )
}

/// Computes the reference result of [`rotate`](crate::Backend::rotate).
pub fn rotate<B: Backend>(
    input: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
    back: bool,
) -> FloatTensor<B> {
    let [x, cos, sin] = [input, cos, sin].map(tensor::<B, 4>);
    let sin = if back { sin.neg() } else { sin };
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let turned_second = second * cos + first * sin;
    primitive(cat(vec![turned_first, turned_second], 3))
}

/// Computes the reference result of [`rms_norm`](crate::Backend::rms_norm).
pub fn rms_norm<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    epsilon: f64,
) -> FloatTensor<B> {
    let x = tensor::<B, 2>(input);
    let factor = inverse_root_mean_square(&x, epsilon);
    primitive(x * factor * tensor::<B, 1>(weight).unsqueeze())
}

/// Computes `1 / √(mean(x²) + ε)` of every row, `[n, 1]`.
fn inverse_root_mean_square<B: Backend>(x: &Tensor<B, 2>, epsilon: f64) -> Tensor<B, 2> {
    let mean = x.clone().square().mean_dim(1);
    // burn-ndarray's `recip` has only 12 bits.
    mean.add_scalar(epsilon).powf_scalar(-0.5)
}

/// Computes the reference result of [`rms_norm_backward`](crate::Backend::rms_norm_backward).
pub fn rms_norm_backward<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
    epsilon: f64,
    wants_weight: bool,
) -> (FloatTensor<B>, Option<FloatTensor<B>>) {
    let [x, grad] = [input, grad].map(tensor::<B, 2>);
    let [n, size] = x.dims();
    let factor = inverse_root_mean_square(&x, epsilon);
    let normed = x * factor.clone();
    let of_weight = wants_weight.then(|| {
        let sum = (grad.clone() * normed.clone()).sum_dim(0);
        primitive(sum.reshape([size]))
    });
    let grad = grad * tensor::<B, 1>(weight).unsqueeze();
    let along = (grad.clone() * normed.clone())
        .mean_dim(1)
        .expand([n, size]);
    (primitive((grad - normed * along) * factor), of_weight)
}

/// Computes the reference result of [`write_positions`](crate::Backend::write_positions).
pub fn write_positions<B: Backend>(
    buffer: FloatTensor<B>,
    at: usize,
    rows: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape = rows.shape();
    let place = [0..shape[0], 0..shape[1], at..at + shape[2], 0..shape[3]].map(Slice::from);
    B::float_slice_assign(buffer, &place, rows)
}
