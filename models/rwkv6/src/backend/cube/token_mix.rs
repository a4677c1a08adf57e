//! The token shift. One kernel per mix; each unit handles a few entries.

use crate::backend::{TokenMix, TokenMixGrads};
use bone::cube::{cubes, empty_like, vector_size};
use burn::tensor::TensorMetadata;
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::client::ComputeClient;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::zeros_client;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Returns the term to mix in: the entry of the token before minus the token's own entry.
#[cube]
fn difference<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    before: &Tensor<Vector<F, N>>,
    place: usize,
    len: usize,
    size: usize,
    #[comptime] has_before: bool,
) -> Vector<f32, N> {
    let row = place / size;
    let position = row % len;
    let mut previous = Vector::<f32, N>::new(0.0);
    if position > 0 {
        previous = Vector::cast_from(x[place - size]);
    } else if comptime!(has_before) {
        previous = Vector::cast_from(before[row / len * size + place % size]);
    }
    previous - Vector::<f32, N>::cast_from(x[place])
}

/// Returns μ at an entry; `start` is the offset of the mix's own part.
#[cube]
fn factor<F: Float, N: Size>(
    maa: &Tensor<Vector<F, N>>,
    by_data: &Tensor<Vector<F, N>>,
    place: usize,
    start: usize,
    size: usize,
    #[comptime] has_data: bool,
) -> Vector<f32, N> {
    let mut mu = Vector::<f32, N>::cast_from(maa[place % size]);
    if comptime!(has_data) {
        mu += Vector::<f32, N>::cast_from(by_data[start + place]);
    }
    mu
}

/// Which optional inputs are present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Given {
    before: bool,
    data: bool,
}

/// Sizes are in vectors.
#[cube(launch)]
fn token_shift_kernel<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    before: &Tensor<Vector<F, N>>,
    maa: &Tensor<Vector<F, N>>,
    by_data: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    units: usize,
    start: usize,
    len: usize,
    size: usize,
    #[comptime] given: Given,
    #[define(F)] _dtype: StorageType,
) {
    let place = ABSOLUTE_POS;
    if place < units {
        let mu = factor::<F, N>(maa, by_data, place, start, size, given.data);
        let less = difference::<F, N>(x, before, place, len, size, given.before);
        output[place] = Vector::cast_from(Vector::<f32, N>::cast_from(x[place]) + less * mu);
    }
}

/// Computes one mix's share of the gradients. The gradient to x accumulates, starting at the first
/// mix.
#[cube(launch)]
fn token_shift_backward_kernel<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    before: &Tensor<Vector<F, N>>,
    maa: &Tensor<Vector<F, N>>,
    by_data: &Tensor<Vector<F, N>>,
    grad: &Tensor<Vector<F, N>>,
    d_x: &mut Tensor<Vector<F, N>>,
    d_before: &mut Tensor<Vector<F, N>>,
    d_data: &mut Tensor<Vector<F, N>>,
    units: usize,
    start: usize,
    len: usize,
    size: usize,
    #[comptime] given: Given,
    #[comptime] to_x: bool,
    #[define(F)] _dtype: StorageType,
) {
    let place = ABSOLUTE_POS;
    if place >= units {
        terminate!();
    }
    let g = Vector::<f32, N>::cast_from(grad[place]);
    if comptime!(given.data) {
        let less = difference::<F, N>(x, before, place, len, size, given.before);
        d_data[start + place] = Vector::cast_from(g * less);
    }
    if comptime!(to_x) {
        let one = Vector::<f32, N>::new(1.0);
        let mu = factor::<F, N>(maa, by_data, place, start, size, given.data);
        let mut sum = Vector::<f32, N>::cast_from(d_x[place]) + g * (one - mu);
        let row = place / size;
        if row % len + 1 < len {
            let next = place + size;
            let mu = factor::<F, N>(maa, by_data, next, start, size, given.data);
            sum += Vector::<f32, N>::cast_from(grad[next]) * mu;
        }
        d_x[place] = Vector::cast_from(sum);
        if comptime!(given.before) {
            let position = row % len;
            if position == 0 {
                let at = row / len * size + place % size;
                let sum = Vector::<f32, N>::cast_from(d_before[at]) + g * mu;
                d_before[at] = Vector::cast_from(sum);
            }
        }
    }
}

/// The inputs in the kernels' form, and their sizes.
struct Plan<R: CubeRuntime, const K: usize> {
    x: CubeTensor<R>,
    /// x as placeholder if absent; the next field too.
    before: CubeTensor<R>,
    maa: [CubeTensor<R>; K],
    by_data: CubeTensor<R>,
    given: Given,
    client: ComputeClient<R>,
    vector: usize,
    units: usize,
    len: usize,
    size: usize,
}

impl<R: CubeRuntime, const K: usize> Plan<R, K> {
    fn new(inputs: TokenMix<CubeTensor<R>, K>) -> Self {
        let given = Given {
            before: inputs.before.is_some(),
            data: inputs.by_data.is_some(),
        };
        let x = into_contiguous(inputs.x);
        let or_x = |tensor: Option<_>| tensor.map_or_else(|| x.clone(), into_contiguous);
        let shape = x.shape();
        let vector = vector_size(&x, &[shape[2]]);
        Self {
            before: or_x(inputs.before),
            by_data: or_x(inputs.by_data),
            maa: inputs.maa.map(into_contiguous),
            given,
            client: x.client.clone(),
            vector,
            units: shape.num_elements() / vector,
            len: shape[1],
            size: shape[2] / vector,
            x,
        }
    }

    fn zeros_like(&self, tensor: &CubeTensor<R>) -> CubeTensor<R> {
        let (client, device) = (self.client.clone(), tensor.device.clone());
        zeros_client(client, device, tensor.shape(), tensor.dtype)
    }
}

/// Runs [`Backend::token_mix`](crate::backend::Backend::token_mix).
pub(super) fn forward<R: CubeRuntime, const K: usize>(
    inputs: TokenMix<CubeTensor<R>, K>,
) -> [CubeTensor<R>; K] {
    let plan = Plan::new(inputs);
    std::array::from_fn(|k| {
        let output = empty_like(&plan.x);
        let (cubes, dim) = cubes(&plan.client, plan.units);
        token_shift_kernel::launch::<R>(
            &plan.client,
            cubes,
            dim,
            plan.vector,
            plan.x.clone().into_tensor_arg(),
            plan.before.clone().into_tensor_arg(),
            plan.maa[k].clone().into_tensor_arg(),
            plan.by_data.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            plan.units,
            k * plan.units,
            plan.len,
            plan.size,
            plan.given,
            plan.x.dtype.into(),
        );
        output
    })
}

/// Runs [`Backend::token_mix_backward`](crate::backend::Backend::token_mix_backward) without
/// gradients to the shared parts. `wants_x` requests those to x and to the tokens before.
pub(super) fn backward<R: CubeRuntime, const K: usize>(
    inputs: TokenMix<CubeTensor<R>, K>,
    grads: [Option<CubeTensor<R>>; K],
    wants_x: bool,
) -> TokenMixGrads<CubeTensor<R>, K> {
    let plan = Plan::new(inputs);
    let d_x = wants_x.then(|| plan.zeros_like(&plan.x));
    let d_before = (wants_x && plan.given.before).then(|| plan.zeros_like(&plan.before));
    let d_data = plan
        .given
        .data
        .then(|| match grads.iter().all(Option::is_some) {
            true => empty_like(&plan.by_data),
            false => plan.zeros_like(&plan.by_data),
        });
    // Not written if not requested.
    let or_x = |tensor: &Option<CubeTensor<R>>| {
        let tensor = tensor.as_ref().unwrap_or(&plan.x);
        tensor.clone().into_tensor_arg()
    };
    for (k, grad) in grads.into_iter().enumerate() {
        let Some(grad) = grad.map(into_contiguous) else {
            continue;
        };
        let (cubes, dim) = cubes(&plan.client, plan.units);
        token_shift_backward_kernel::launch::<R>(
            &plan.client,
            cubes,
            dim,
            plan.vector,
            plan.x.clone().into_tensor_arg(),
            plan.before.clone().into_tensor_arg(),
            plan.maa[k].clone().into_tensor_arg(),
            plan.by_data.clone().into_tensor_arg(),
            grad.into_tensor_arg(),
            or_x(&d_x),
            or_x(&d_before),
            or_x(&d_data),
            plan.units,
            k * plan.units,
            plan.len,
            plan.size,
            plan.given,
            wants_x,
            plan.x.dtype.into(),
        );
    }
    TokenMixGrads {
        x: d_x,
        before: d_before,
        maa: None,
        by_data: d_data,
    }
}
