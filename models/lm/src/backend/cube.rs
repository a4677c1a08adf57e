//! The operations on every GPU that CubeCL compiles for: CUDA, ROCm, Vulkan, Metal and WebGPU.

use super::{Backend, Gate, NormGrads, NormParams, QueryTile, reference, tiled};
use bone::Backend as _;
use bone::kernels::Kernel;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use norm::Norm;

mod cross_entropy;
mod gate;
mod norm;
mod rotate;
mod row;
mod window;

impl<R, F, I, BT> Backend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn attends_by_window() -> bool {
        Kernel::Attention.is_on()
    }

    fn window_softmax(scores: FloatTensor<Self>, tile: &QueryTile) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::Attention, scores.dtype, &scores.device) {
            true => window::softmax(scores, tile),
            false => tiled::window_softmax::<Self>(scores, tile),
        }
    }

    fn window_softmax_backward(
        weights: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::Attention, grad.dtype, &grad.device) {
            true => window::softmax_backward(weights, grad, scale),
            false => tiled::window_softmax_backward::<Self>(weights, grad, scale),
        }
    }

    fn add_to_first(whole: FloatTensor<Self>, part: FloatTensor<Self>) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::Attention, whole.dtype, &whole.device) {
            true => window::add_to_first(whole, part),
            false => tiled::add_to_first::<Self>(whole, part),
        }
    }

    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::CrossEntropy, logits.dtype, &logits.device) {
            true => cross_entropy::run(logits, targets, false).0,
            false => reference::cross_entropy::<Self>(logits, targets),
        }
    }

    fn cross_entropy_and_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match Self::has_kernel(Kernel::CrossEntropy, logits.dtype, &logits.device) {
            true => cross_entropy::run(logits, targets, true),
            false => reference::cross_entropy_and_gradient::<Self>(logits, targets),
        }
    }

    fn gated(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        function: Gate,
    ) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::Gate, gate.dtype, &gate.device) {
            true => gate::forward(gate, value, function),
            false => reference::gated::<Self>(gate, value, function),
        }
    }

    fn gated_backward(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        function: Gate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match Self::has_kernel(Kernel::Gate, gate.dtype, &gate.device) {
            true => gate::backward([gate, value, grad], function),
            false => reference::gated_backward::<Self>(gate, value, grad, function),
        }
    }

    fn rotate(
        input: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        back: bool,
    ) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::Rotary, input.dtype, &input.device) {
            true => rotate::run(input, cos, sin, back),
            false => reference::rotate::<Self>(input, cos, sin, back),
        }
    }

    fn rms_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::Norm, input.dtype, &input.device) {
            true => norm::run(input, rms(weight, epsilon), None),
            false => reference::rms_norm::<Self>(input, weight, epsilon),
        }
    }

    fn rms_norm_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
        wants_weight: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        match !wants_weight && Self::has_kernel(Kernel::Norm, input.dtype, &input.device) {
            true => (norm::run(input, rms(weight, epsilon), Some(grad)), None),
            false => {
                reference::rms_norm_backward::<Self>(input, weight, grad, epsilon, wants_weight)
            }
        }
    }

    fn grouped_norm(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        match Self::has_kernel(Kernel::Norm, input.dtype, &input.device) {
            true => norm::run(input, grouped(params), None),
            false => reference::grouped_norm::<Self>(input, params),
        }
    }

    fn grouped_norm_backward(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants_params: bool,
    ) -> NormGrads<FloatTensor<Self>> {
        match !wants_params && Self::has_kernel(Kernel::Norm, input.dtype, &input.device) {
            true => NormGrads {
                input: norm::run(input, grouped(params), Some(grad)),
                params: None,
            },
            false => reference::grouped_norm_backward::<Self>(input, params, grad, wants_params),
        }
    }
}

fn rms<R: CubeRuntime>(weight: CubeTensor<R>, epsilon: f64) -> Norm<R> {
    Norm {
        weight,
        bias: None,
        groups: 1,
        epsilon,
    }
}

fn grouped<R: CubeRuntime>(params: NormParams<CubeTensor<R>>) -> Norm<R> {
    Norm {
        weight: params.weight,
        bias: Some(params.bias),
        groups: params.groups,
        epsilon: params.epsilon,
    }
}
