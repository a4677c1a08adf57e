//! Rotary positions. A unit rotates a few pairs of a head, and reads the tensor in any memory
//! order.

use bone::cube::{cubes, empty_like, vector_size};
use burn::tensor::TensorMetadata;
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// `half` is half of a head's width. It and all offsets are in vectors; `tables` is the number of
/// sequences with their own angles.
#[cube(launch)]
fn rotary_kernel<F: Float, N: Size>(
    input: &Tensor<Vector<F, N>>,
    cos: &Tensor<Vector<F, N>>,
    sin: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    units: usize,
    heads: usize,
    len: usize,
    half: usize,
    tables: usize,
    #[comptime] back: bool,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let pair = ABSOLUTE_POS % half;
    let row = ABSOLUTE_POS / half;
    let position = row % len;
    let head = row / len % heads;
    let sequence = row / len / heads;
    let entries = sequence * input.stride(0) + head * input.stride(1) + position * input.stride(2);
    let first_at = entries / input.vector_size() + pair;
    let first = Vector::<f32, N>::cast_from(input[first_at]);
    let second = Vector::<f32, N>::cast_from(input[first_at + half]);
    let angle = (sequence % tables * len + position) * half + pair;
    let cos = Vector::<f32, N>::cast_from(cos[angle]);
    let mut sin = Vector::<f32, N>::cast_from(sin[angle]);
    if comptime!(back) {
        sin = Vector::<f32, N>::new(0.0) - sin;
    }
    let place = row * 2 * half + pair;
    output[place] = Vector::cast_from(first * cos - second * sin);
    output[place + half] = Vector::cast_from(second * cos + first * sin);
}

/// Runs [`Backend::rotate`](super::Backend::rotate).
pub(super) fn run<R: CubeRuntime>(
    input: CubeTensor<R>,
    cos: CubeTensor<R>,
    sin: CubeTensor<R>,
    back: bool,
) -> CubeTensor<R> {
    let input = match input.meta.strides()[3] {
        1 => input,
        _ => into_contiguous(input),
    };
    let [cos, sin] = [cos, sin].map(into_contiguous);
    let shape = input.shape();
    let (heads, len, half) = (shape[1], shape[2], shape[3] / 2);
    let strides = input.meta.strides();
    let vector = vector_size(&input, &[half, strides[0], strides[1], strides[2]]);
    let output = empty_like(&input);
    let client = input.client.clone();
    let units = shape[0] * heads * len * half / vector;
    let (cubes, dim) = cubes(&client, units);
    let (dtype, tables) = (input.dtype.into(), cos.shape()[0]);
    rotary_kernel::launch::<R>(
        &client,
        cubes,
        dim,
        vector,
        input.into_tensor_arg(),
        cos.into_tensor_arg(),
        sin.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        units,
        heads,
        len,
        half / vector,
        tables,
        back,
        dtype,
    );
    output
}
