//! Adds the operations' backwards to burn's autodiff graph.

use super::{Backend, Gate, NormParams};
use crate::Window;
use bone::graph::{record, take_values};
use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::tensor::ops::{FloatTensor, IntTensor};

/// Scales the gradient of each loss to its row, which the forward already computed.
fn cross_entropy_backward<B: Backend>(
    gradient: FloatTensor<B>,
    grads: [Option<FloatTensor<B>>; 1],
    _wants: [bool; 1],
) -> [Option<FloatTensor<B>>; 1] {
    let [losses] = grads;
    [losses.map(|losses| B::scale_rows(gradient, losses))]
}

#[derive(Debug, Clone)]
struct Normed<T> {
    input: T,
    params: NormParams<T>,
}

fn grouped_norm_backward<B: Backend>(
    saved: Normed<FloatTensor<B>>,
    grads: [Option<FloatTensor<B>>; 1],
    [_, weight, bias]: [bool; 3],
) -> [Option<FloatTensor<B>>; 3] {
    let [Some(grad)] = grads else {
        return [const { None }; 3];
    };
    let _span = tracing::trace_span!("norm").entered();
    let grads = B::grouped_norm_backward(saved.input, saved.params, grad, weight || bias);
    let (weight, bias) = grads.params.unzip();
    [Some(grads.input), weight, bias]
}

fn gated_backward<B: Backend>(
    (gate, value, function): (FloatTensor<B>, FloatTensor<B>, Gate),
    grads: [Option<FloatTensor<B>>; 1],
    _wants: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let [Some(grad)] = grads else {
        return [const { None }; 2];
    };
    let _span = tracing::trace_span!("activation").entered();
    let (gate, value) = B::gated_backward(gate, value, grad, function);
    [Some(gate), Some(value)]
}

fn tanh_backward<B: Backend>(
    output: FloatTensor<B>,
    grads: [Option<FloatTensor<B>>; 1],
    _wants: [bool; 1],
) -> [Option<FloatTensor<B>>; 1] {
    let _span = tracing::trace_span!("activation").entered();
    let [grad] = grads;
    [grad.map(|grad| B::tanh_backward(output, grad))]
}

fn softmax_last_backward<B: Backend>(
    output: FloatTensor<B>,
    grads: [Option<FloatTensor<B>>; 1],
    _wants: [bool; 1],
) -> [Option<FloatTensor<B>>; 1] {
    let _span = tracing::trace_span!("attention").entered();
    let [grad] = grads;
    [grad.map(|grad| B::softmax_last_backward(output, grad))]
}

fn attention_backward<B: Backend>(
    (inputs, window): ([FloatTensor<B>; 3], Window),
    grads: [Option<FloatTensor<B>>; 1],
    _wants: [bool; 3],
) -> [Option<FloatTensor<B>>; 3] {
    let [Some(grad)] = grads else {
        return [const { None }; 3];
    };
    let _span = tracing::trace_span!("attention").entered();
    let grads = B::windowed_attention_backward(inputs, grad, &window);
    [Some(grads.query), Some(grads.key), Some(grads.value)]
}

fn rotate_backward<B: Backend>(
    (cos, sin, back): (FloatTensor<B>, FloatTensor<B>, bool),
    grads: [Option<FloatTensor<B>>; 1],
    _wants: [bool; 1],
) -> [Option<FloatTensor<B>>; 1] {
    let _span = tracing::trace_span!("rotary positions").entered();
    let [grad] = grads;
    [grad.map(|grad| B::rotate(grad, cos, sin, !back))]
}

#[derive(Debug, Clone)]
struct RmsNormed<T> {
    input: T,
    weight: T,
    epsilon: f64,
}

fn rms_norm_backward<B: Backend>(
    saved: RmsNormed<FloatTensor<B>>,
    grads: [Option<FloatTensor<B>>; 1],
    [_, wants_weight]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let [Some(grad)] = grads else {
        return [const { None }; 2];
    };
    let _span = tracing::trace_span!("norm").entered();
    let RmsNormed {
        input,
        weight,
        epsilon,
    } = saved;
    let (input, weight) = B::rms_norm_backward(input, weight, grad, epsilon, wants_weight);
    [Some(input), weight]
}

impl<B: Backend, C: CheckpointStrategy> Backend for Autodiff<B, C> {
    fn attends_by_window() -> bool {
        B::attends_by_window()
    }

    fn windowed_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        window: &Window,
    ) -> FloatTensor<Self> {
        let values = [&query, &key, &value].map(|x| x.primitive.clone());
        let [q, k, v] = values.clone();
        let output = B::windowed_attention(q, k, v, window);
        let inputs = [Some(&query), Some(&key), Some(&value)];
        let saved = (values, window.clone());
        let [output] = record::<B, C, _, 3, 1>(inputs, [output], saved, attention_backward::<B>);
        output
    }

    fn rotate(
        input: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        back: bool,
    ) -> FloatTensor<Self> {
        let saved = (cos.primitive, sin.primitive, back);
        let output = B::rotate(
            input.primitive.clone(),
            saved.0.clone(),
            saved.1.clone(),
            back,
        );
        let [output] =
            record::<B, C, _, 1, 1>([Some(&input)], [output], saved, rotate_backward::<B>);
        output
    }

    fn rms_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let saved = RmsNormed {
            input: input.primitive.clone(),
            weight: weight.primitive.clone(),
            epsilon,
        };
        let output = B::rms_norm(saved.input.clone(), saved.weight.clone(), epsilon);
        let inputs = [Some(&input), Some(&weight)];
        let [output] = record::<B, C, _, 2, 1>(inputs, [output], saved, rms_norm_backward::<B>);
        output
    }
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let (values, place) = take_values::<B, C>(logits);
        let (losses, gradient) = B::cross_entropy_and_gradient(values, targets);
        let backward = cross_entropy_backward::<B>;
        let [losses] = record::<B, C, _, 1, 1>([Some(&place)], [losses], gradient, backward);
        losses
    }

    fn gated(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        function: Gate,
    ) -> FloatTensor<Self> {
        let saved = (gate.primitive.clone(), value.primitive.clone(), function);
        let output = B::gated(saved.0.clone(), saved.1.clone(), function);
        let inputs = [Some(&gate), Some(&value)];
        let [output] = record::<B, C, _, 2, 1>(inputs, [output], saved, gated_backward::<B>);
        output
    }

    fn tanh(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let output = B::tanh(input.primitive.clone());
        let (saved, backward) = (output.clone(), tanh_backward::<B>);
        let [output] = record::<B, C, _, 1, 1>([Some(&input)], [output], saved, backward);
        output
    }

    fn softmax_last(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let output = B::softmax_last(input.primitive.clone());
        let (saved, backward) = (output.clone(), softmax_last_backward::<B>);
        let [output] = record::<B, C, _, 1, 1>([Some(&input)], [output], saved, backward);
        output
    }

    fn grouped_norm(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let saved = Normed {
            input: input.primitive.clone(),
            params: params.clone().map(|tensor| tensor.primitive),
        };
        let output = B::grouped_norm(saved.input.clone(), saved.params.clone());
        let inputs = [Some(&input), Some(&params.weight), Some(&params.bias)];
        let backward = grouped_norm_backward::<B>;
        let [output] = record::<B, C, _, 3, 1>(inputs, [output], saved, backward);
        output
    }
}
