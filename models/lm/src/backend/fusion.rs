//! The operations under burn's fusion. A kernel of the inner backend stays one operation.
//! Operations without a kernel use operations that fusion knows.

use super::{Backend, Gate, NormGrads, NormParams, QueryTile, reference, tiled};
use bone::fusion::{Inputs, record};
use bone::kernels::Kernel;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Shape, TensorMetadata};
use burn_fusion::{Fusion, FusionBackend};

/// Returns whether the inner backend has a kernel for a tensor.
fn has<B: FusionBackend + Backend>(kernel: Kernel, tensor: &FloatTensor<Fusion<B>>) -> bool {
    B::has_kernel(kernel, tensor.dtype, tensor.client.device())
}

/// Returns the only result.
fn one<T>(mut results: Vec<T>) -> T {
    results.remove(0)
}

impl<B: FusionBackend + Backend> Backend for Fusion<B> {
    fn attends_by_window() -> bool {
        B::attends_by_window()
    }

    fn window_softmax(scores: FloatTensor<Self>, tile: &QueryTile) -> FloatTensor<Self> {
        if !has::<B>(Kernel::Attention, &scores) {
            return tiled::window_softmax::<Self>(scores, tile);
        }
        let (outputs, tile) = (like(&scores), tile.clone());
        let inputs = vec![scores].into();
        one(record::<B>(
            "window_softmax",
            inputs,
            outputs,
            move |inputs| vec![B::window_softmax(one(inputs.floats), &tile)],
        ))
    }

    fn window_softmax_backward(
        weights: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        if !has::<B>(Kernel::Attention, &grad) {
            return tiled::window_softmax_backward::<Self>(weights, grad, scale);
        }
        let (outputs, inputs) = (like(&grad), vec![weights, grad].into());
        let name = "window_softmax_backward";
        one(record::<B>(name, inputs, outputs, move |inputs| {
            let [weights, grad] = inputs.floats();
            vec![B::window_softmax_backward(weights, grad, scale)]
        }))
    }

    fn add_to_first(whole: FloatTensor<Self>, part: FloatTensor<Self>) -> FloatTensor<Self> {
        if !has::<B>(Kernel::Attention, &whole) {
            return tiled::add_to_first::<Self>(whole, part);
        }
        let (outputs, inputs) = (like(&whole), vec![whole, part].into());
        one(record::<B>("add_to_first", inputs, outputs, |inputs| {
            let [whole, part] = inputs.floats();
            vec![B::add_to_first(whole, part)]
        }))
    }

    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        if !has::<B>(Kernel::CrossEntropy, &logits) {
            return reference::cross_entropy::<Self>(logits, targets);
        }
        let outputs = vec![(targets.shape(), logits.dtype)];
        let inputs = Inputs {
            floats: vec![logits],
            ints: vec![targets],
        };
        one(record::<B>("cross_entropy", inputs, outputs, |inputs| {
            vec![B::cross_entropy(one(inputs.floats), one(inputs.ints))]
        }))
    }

    fn cross_entropy_and_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !has::<B>(Kernel::CrossEntropy, &logits) {
            return reference::cross_entropy_and_gradient::<Self>(logits, targets);
        }
        let dtype = logits.dtype;
        let outputs = vec![(targets.shape(), dtype), (logits.shape(), dtype)];
        let inputs = Inputs {
            floats: vec![logits],
            ints: vec![targets],
        };
        let mut found = record::<B>("cross_entropy_and_gradient", inputs, outputs, |inputs| {
            let (losses, gradient) =
                B::cross_entropy_and_gradient(one(inputs.floats), one(inputs.ints));
            vec![losses, gradient]
        });
        let gradient = found.remove(1);
        (one(found), gradient)
    }

    fn gated(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        function: Gate,
    ) -> FloatTensor<Self> {
        if !has::<B>(Kernel::Gate, &gate) {
            return reference::gated::<Self>(gate, value, function);
        }
        let outputs = like(&gate);
        let inputs = vec![gate, value].into();
        one(record::<B>("gated", inputs, outputs, move |inputs| {
            let [gate, value] = inputs.floats();
            vec![B::gated(gate, value, function)]
        }))
    }

    fn gated_backward(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        function: Gate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !has::<B>(Kernel::Gate, &gate) {
            return reference::gated_backward::<Self>(gate, value, grad, function);
        }
        let outputs = [like(&gate), like(&gate)].concat();
        let inputs = vec![gate, value, grad].into();
        let mut found = record::<B>("gated_backward", inputs, outputs, move |inputs| {
            let [gate, value, grad] = inputs.floats();
            let (to_gate, to_value) = B::gated_backward(gate, value, grad, function);
            vec![to_gate, to_value]
        });
        let to_value = found.remove(1);
        (one(found), to_value)
    }

    fn rotate(
        input: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        back: bool,
    ) -> FloatTensor<Self> {
        if !has::<B>(Kernel::Rotary, &input) {
            return reference::rotate::<Self>(input, cos, sin, back);
        }
        let outputs = like(&input);
        let inputs = vec![input, cos, sin].into();
        one(record::<B>("rotate", inputs, outputs, move |inputs| {
            let [input, cos, sin] = inputs.floats();
            vec![B::rotate(input, cos, sin, back)]
        }))
    }

    fn rms_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        if !has::<B>(Kernel::Norm, &input) {
            return reference::rms_norm::<Self>(input, weight, epsilon);
        }
        let outputs = like(&input);
        one(record::<B>(
            "rms_norm",
            vec![input, weight].into(),
            outputs,
            move |inputs| {
                let [input, weight] = inputs.floats();
                vec![B::rms_norm(input, weight, epsilon)]
            },
        ))
    }

    fn rms_norm_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
        wants_weight: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        if wants_weight || !has::<B>(Kernel::Norm, &input) {
            return reference::rms_norm_backward::<Self>(
                input,
                weight,
                grad,
                epsilon,
                wants_weight,
            );
        }
        let outputs = like(&input);
        let inputs = vec![input, weight, grad].into();
        let found = record::<B>("rms_norm_backward", inputs, outputs, move |inputs| {
            let [input, weight, grad] = inputs.floats();
            vec![B::rms_norm_backward(input, weight, grad, epsilon, false).0]
        });
        (one(found), None)
    }

    fn grouped_norm(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        if !has::<B>(Kernel::Norm, &input) {
            return reference::grouped_norm::<Self>(input, params);
        }
        let outputs = like(&input);
        let (groups, epsilon) = (params.groups, params.epsilon);
        let inputs = vec![input, params.weight, params.bias].into();
        one(record::<B>(
            "grouped_norm",
            inputs,
            outputs,
            move |inputs| {
                let [input, weight, bias] = inputs.floats();
                let params = NormParams {
                    weight,
                    bias,
                    groups,
                    epsilon,
                };
                vec![B::grouped_norm(input, params)]
            },
        ))
    }

    fn grouped_norm_backward(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants_params: bool,
    ) -> NormGrads<FloatTensor<Self>> {
        if wants_params || !has::<B>(Kernel::Norm, &input) {
            return reference::grouped_norm_backward::<Self>(input, params, grad, wants_params);
        }
        let outputs = like(&input);
        let (groups, epsilon) = (params.groups, params.epsilon);
        let inputs = vec![input, params.weight, params.bias, grad].into();
        let found = record::<B>("grouped_norm_backward", inputs, outputs, move |inputs| {
            let [input, weight, bias, grad] = inputs.floats();
            let params = NormParams {
                weight,
                bias,
                groups,
                epsilon,
            };
            vec![B::grouped_norm_backward(input, params, grad, false).input]
        });
        NormGrads {
            input: one(found),
            params: None,
        }
    }
}

/// Describes one output of the shape and precision of a tensor.
fn like<T: TensorMetadata>(tensor: &T) -> Vec<(Shape, burn::tensor::DType)> {
    vec![(tensor.shape(), tensor.dtype())]
}
