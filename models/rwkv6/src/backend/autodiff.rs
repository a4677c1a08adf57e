//! The kernel's backward as a node of burn's autodiff graph.

use super::{Backend, Wkv6Backward, Wkv6Inputs, Wkv6Kernel, Wkv6Outputs};
use bone::graph::record;
use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;

/// The inputs: they exist anyway, nothing is made for the backward.
#[derive(Debug, Clone)]
struct Saved<T> {
    inputs: Wkv6Inputs<T>,
    backward: Wkv6Backward<T>,
}

fn backward<T>(saved: Saved<T>, grads: [Option<T>; 2], _wants: [bool; 6]) -> [Option<T>; 6] {
    let [output, state] = grads;
    let inputs = (saved.backward)(saved.inputs, Wkv6Outputs { output, state });
    [
        Some(inputs.receptance),
        Some(inputs.key),
        Some(inputs.value),
        Some(inputs.decay),
        Some(inputs.bonus),
        inputs.state,
    ]
}

fn forward<B: Backend, C: CheckpointStrategy>(
    kernel: Wkv6Kernel<B>,
    kernel_backward: Wkv6Backward<FloatTensor<B>>,
    inputs: Wkv6Inputs<FloatTensor<Autodiff<B, C>>>,
) -> Wkv6Outputs<FloatTensor<Autodiff<B, C>>> {
    let primitives = inputs.as_ref().map(|tensor| tensor.primitive.clone());
    let outputs = (kernel.forward)(primitives.clone());
    let saved = Saved {
        inputs: primitives,
        backward: kernel_backward,
    };
    let inputs = [
        Some(&inputs.receptance),
        Some(&inputs.key),
        Some(&inputs.value),
        Some(&inputs.decay),
        Some(&inputs.bonus),
        inputs.state.as_ref(),
    ];
    let outputs = [outputs.output, outputs.state];
    let [output, state] = record::<B, C, _, 6, 2>(inputs, outputs, saved, backward);
    Wkv6Outputs { output, state }
}

impl<B: Backend, C: CheckpointStrategy> Backend for Autodiff<B, C> {
    /// The inner backend's, where that has a backward. This one has none in turn: second
    /// gradients go through the tensor forms.
    fn wkv6_kernel(dtype: DType) -> Option<Wkv6Kernel<Self>> {
        let kernel = B::wkv6_kernel(dtype)?;
        let backward = kernel.backward?;
        Some(Wkv6Kernel {
            forward: Box::new(move |inputs| forward::<B, C>(kernel, backward, inputs)),
            backward: None,
        })
    }
}
