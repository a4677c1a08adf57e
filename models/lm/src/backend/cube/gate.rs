//! Gates. Each unit reads a few entries, each of them once.

use super::super::Gate;
use bone::cube::{cubes, empty_like, vector_size};
use burn::tensor::TensorMetadata;
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Computes `σ(x)`.
#[cube]
fn sigmoid<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0);
    one / (one + (Vector::<f32, N>::new(0.0) - x).exp())
}

/// Returns y if x is above zero or NaN, otherwise 0.
#[cube]
fn above_zero<N: Size>(x: Vector<f32, N>, y: Vector<f32, N>) -> Vector<f32, N> {
    let zero = Vector::<f32, N>::new(0.0);
    select_many(x.less_equal(zero), zero, y)
}

/// Computes `f(x)`.
#[cube]
fn of<N: Size>(x: Vector<f32, N>, #[comptime] function: Gate) -> Vector<f32, N> {
    match comptime!(function) {
        Gate::Silu => x * sigmoid::<N>(x),
        Gate::Sigmoid => sigmoid::<N>(x),
        Gate::Relu => above_zero::<N>(x, x),
    }
}

/// Computes `f'(x)`.
#[cube]
fn slope<N: Size>(x: Vector<f32, N>, #[comptime] function: Gate) -> Vector<f32, N> {
    let one = Vector::<f32, N>::new(1.0);
    match comptime!(function) {
        Gate::Silu => {
            let s = sigmoid::<N>(x);
            s + x * s * (one - s)
        }
        Gate::Sigmoid => {
            let s = sigmoid::<N>(x);
            s * (one - s)
        }
        Gate::Relu => above_zero::<N>(x, one),
    }
}

#[cube(launch)]
fn gate_kernel<F: Float, N: Size>(
    gate: &Tensor<Vector<F, N>>,
    value: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    units: usize,
    #[comptime] function: Gate,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < units {
        let x = Vector::<f32, N>::cast_from(gate[ABSOLUTE_POS]);
        let value = Vector::<f32, N>::cast_from(value[ABSOLUTE_POS]);
        output[ABSOLUTE_POS] = Vector::cast_from(of::<N>(x, function) * value);
    }
}

#[cube(launch)]
fn gate_backward_kernel<F: Float, N: Size>(
    gate: &Tensor<Vector<F, N>>,
    value: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    d_gate: &mut Tensor<Vector<F, N>>,
    d_value: &mut Tensor<Vector<F, N>>,
    units: usize,
    #[comptime] function: Gate,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < units {
        let x = Vector::<f32, N>::cast_from(gate[ABSOLUTE_POS]);
        let value = Vector::<f32, N>::cast_from(value[ABSOLUTE_POS]);
        let grad = Vector::<f32, N>::cast_from(grad[ABSOLUTE_POS]);
        d_gate[ABSOLUTE_POS] = Vector::cast_from(grad * value * slope::<N>(x, function));
        d_value[ABSOLUTE_POS] = Vector::cast_from(grad * of::<N>(x, function));
    }
}

/// Runs [`Backend::gated`](super::Backend::gated).
pub(super) fn forward<R: CubeRuntime>(
    gate: CubeTensor<R>,
    value: CubeTensor<R>,
    function: Gate,
) -> CubeTensor<R> {
    let [gate, value] = [gate, value].map(into_contiguous);
    let output = empty_like(&gate);
    let client = gate.client.clone();
    let count = gate.shape().num_elements();
    let vector = vector_size(&gate, &[count]);
    let units = count / vector;
    let (cubes, dim) = cubes(&client, units);
    let dtype = gate.dtype.into();
    gate_kernel::launch::<R>(
        &client,
        cubes,
        dim,
        vector,
        gate.into_tensor_arg(),
        value.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        units,
        function,
        dtype,
    );
    output
}

/// Runs [`Backend::gated_backward`](super::Backend::gated_backward).
pub(super) fn backward<R: CubeRuntime>(
    inputs: [CubeTensor<R>; 3],
    function: Gate,
) -> (CubeTensor<R>, CubeTensor<R>) {
    let [gate, value, grad] = inputs.map(into_contiguous);
    let (d_gate, d_value) = (empty_like(&gate), empty_like(&gate));
    let client = gate.client.clone();
    let count = gate.shape().num_elements();
    let vector = vector_size(&gate, &[count]);
    let units = count / vector;
    let (cubes, dim) = cubes(&client, units);
    let dtype = gate.dtype.into();
    gate_backward_kernel::launch::<R>(
        &client,
        cubes,
        dim,
        vector,
        gate.into_tensor_arg(),
        value.into_tensor_arg(),
        grad.into_tensor_arg(),
        d_gate.clone().into_tensor_arg(),
        d_value.clone().into_tensor_arg(),
        units,
        function,
        dtype,
    );
    (d_gate, d_value)
}
