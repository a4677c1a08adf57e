//! RMSNorm, LayerNorm and GroupNorm: a cube normalises one group of a row.

use super::row::{UNITS, cubes, sum_of_units};
use burn::tensor::{Shape, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Computes `Σ x / width` of a group; zero if the mean is not subtracted.
#[cube]
fn mean<F: Float>(
    input: &Tensor<F>,
    start: usize,
    width: usize,
    shared: &mut SharedMemory<f32>,
    #[comptime] centred: bool,
) -> f32 {
    let mut mean = f32::new(0.0);
    if comptime!(centred) {
        let mut sum = f32::new(0.0);
        let mut n = UNIT_POS as usize;
        while n < width {
            sum += f32::cast_from(input[start + n]);
            n += CUBE_DIM as usize;
        }
        mean = sum_of_units(sum, shared) / f32::cast_from(width);
    }
    mean
}

/// Computes `1 / √(Σ (x − mean)² / width + ε)` of a group.
#[cube]
fn factor<F: Float>(
    input: &Tensor<F>,
    start: usize,
    width: usize,
    mean: f32,
    epsilon: f32,
    shared: &mut SharedMemory<f32>,
) -> f32 {
    let mut sum = f32::new(0.0);
    let mut n = UNIT_POS as usize;
    while n < width {
        let x = f32::cast_from(input[start + n]) - mean;
        sum += x * x;
        n += CUBE_DIM as usize;
    }
    let variance = sum_of_units(sum, shared) / f32::cast_from(width);
    f32::new(1.0) / (variance + epsilon).sqrt()
}

/// Computes `(x − mean)·factor·w + b`; without `centred` the mean is not subtracted and b is
/// absent.
#[cube(launch)]
fn norm_kernel<F: Float>(
    input: &Tensor<F>,
    weight: &Tensor<F>,
    bias: &Tensor<F>,
    output: &mut Tensor<F>,
    groups: usize,
    width: usize,
    epsilon: f32,
    #[comptime] centred: bool,
    #[define(F)] _dtype: StorageType,
) {
    let start = CUBE_POS * width;
    if start >= output.len() {
        terminate!();
    }
    let channel = CUBE_POS % groups * width;
    let mut shared = SharedMemory::<f32>::new(UNITS);
    let mean = mean(input, start, width, &mut shared, centred);
    let factor = factor(input, start, width, mean, epsilon, &mut shared);
    let mut n = UNIT_POS as usize;
    while n < width {
        let x = (f32::cast_from(input[start + n]) - mean) * factor;
        let mut y = x * f32::cast_from(weight[channel + n]);
        if comptime!(centred) {
            y += f32::cast_from(bias[channel + n]);
        }
        output[start + n] = F::cast_from(y);
        n += CUBE_DIM as usize;
    }
}

/// Computes `dx = factor·(g − mean(g) − x̂·mean(g·x̂))` with `g = dy·w` and `x̂` the normalised
/// input; without `centred`, without `mean(g)`.
#[cube(launch)]
fn norm_backward_kernel<F: Float>(
    input: &Tensor<F>,
    weight: &Tensor<F>,
    grad: &Tensor<F>,
    output: &mut Tensor<F>,
    groups: usize,
    width: usize,
    epsilon: f32,
    #[comptime] centred: bool,
    #[define(F)] _dtype: StorageType,
) {
    let start = CUBE_POS * width;
    if start >= output.len() {
        terminate!();
    }
    let channel = CUBE_POS % groups * width;
    let mut shared = SharedMemory::<f32>::new(UNITS);
    let mean = mean(input, start, width, &mut shared, centred);
    let factor = factor(input, start, width, mean, epsilon, &mut shared);
    let mut sum = f32::new(0.0);
    let mut along = f32::new(0.0);
    let mut n = UNIT_POS as usize;
    while n < width {
        let x = (f32::cast_from(input[start + n]) - mean) * factor;
        let g = f32::cast_from(grad[start + n]) * f32::cast_from(weight[channel + n]);
        sum += g;
        along += g * x;
        n += CUBE_DIM as usize;
    }
    let along = sum_of_units(along, &mut shared) / f32::cast_from(width);
    let mut of_mean = f32::new(0.0);
    if comptime!(centred) {
        of_mean = sum_of_units(sum, &mut shared) / f32::cast_from(width);
    }
    let mut n = UNIT_POS as usize;
    while n < width {
        let x = (f32::cast_from(input[start + n]) - mean) * factor;
        let g = f32::cast_from(grad[start + n]) * f32::cast_from(weight[channel + n]);
        output[start + n] = F::cast_from((g - of_mean - x * along) * factor);
        n += CUBE_DIM as usize;
    }
}

/// The parameters of a norm.
pub(super) struct Norm<R: CubeRuntime> {
    /// `[size]`.
    pub(super) weight: CubeTensor<R>,
    /// `[size]`; without a bias the mean is not subtracted either.
    pub(super) bias: Option<CubeTensor<R>>,
    pub(super) groups: usize,
    pub(super) epsilon: f64,
}

/// Returns the normalised rows of `[n, size]`, or with an output gradient the gradient to the
/// input.
pub(super) fn run<R: CubeRuntime>(
    input: CubeTensor<R>,
    norm: Norm<R>,
    grad: Option<CubeTensor<R>>,
) -> CubeTensor<R> {
    let [input, weight] = [input, norm.weight].map(into_contiguous);
    let centred = norm.bias.is_some();
    let shape = input.shape();
    let (rows, width) = (shape[0] * norm.groups, shape[1] / norm.groups);
    let client = input.client.clone();
    let shape = Shape::new([shape[0], shape[1]]);
    let output =
        empty_device_contiguous_dtype(client.clone(), input.device.clone(), shape, input.dtype);
    let (count, dim) = cubes(&client, rows, width);
    let dtype = input.dtype.into();
    let epsilon = norm.epsilon as f32;
    match grad {
        None => {
            // Unused without a bias.
            let bias = norm.bias.map_or_else(|| weight.clone(), into_contiguous);
            norm_kernel::launch::<R>(
                &client,
                count,
                dim,
                input.into_tensor_arg(),
                weight.into_tensor_arg(),
                bias.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                norm.groups,
                width,
                epsilon,
                centred,
                dtype,
            );
        }
        Some(grad) => norm_backward_kernel::launch::<R>(
            &client,
            count,
            dim,
            input.into_tensor_arg(),
            weight.into_tensor_arg(),
            into_contiguous(grad).into_tensor_arg(),
            output.clone().into_tensor_arg(),
            norm.groups,
            width,
            epsilon,
            centred,
            dtype,
        ),
    }
    output
}
