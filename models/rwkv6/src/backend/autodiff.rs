//! Adds the kernel's backward to burn's autodiff graph.

use super::{
    Backend, TokenMix, TokenMixWants, Wkv6Backward, Wkv6Forward, Wkv6Inputs, Wkv6Kernel,
    Wkv6Outputs,
};
use bone::graph::record;
use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;

/// The inputs. They exist anyway, so saving them costs no memory.
#[derive(Debug, Clone)]
struct Saved<T> {
    inputs: Wkv6Inputs<T>,
    backward: Wkv6Backward<T>,
}

fn backward<T>(saved: Saved<T>, grads: [Option<T>; 2], _wants: [bool; 6]) -> [Option<T>; 6] {
    let _span = tracing::trace_span!("wkv6").entered();
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

type Both<T> = (Wkv6Forward<T>, Wkv6Backward<T>);

/// Returns the inner backend's kernel if it has a forward and a backward.
fn both<B: Backend>(inputs: &Wkv6Inputs<FloatTensor<B>>) -> Option<Both<FloatTensor<B>>> {
    let device = B::float_device(&inputs.receptance);
    let kernel = B::wkv6_kernel(inputs.dtype(), inputs.head_size(), &device)?;
    Some((kernel.forward, kernel.backward?))
}

fn forward<B: Backend, C: CheckpointStrategy>(
    inputs: Wkv6Inputs<FloatTensor<Autodiff<B, C>>>,
) -> Wkv6Outputs<FloatTensor<Autodiff<B, C>>> {
    let primitives = inputs.as_ref().map(|tensor| tensor.primitive.clone());
    let (kernel, backward_of_kernel) = both::<B>(&primitives)
        .expect("only given out where the inner backend has a kernel for these inputs");
    let outputs = kernel(primitives.clone());
    let saved = Saved {
        inputs: primitives,
        backward: backward_of_kernel,
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

/// Most inputs of a token mix in a node: x, the tokens before, the tokens' own parts, and up to
/// five shared ones.
const MOST: usize = 5;

fn token_mix_backward<B: Backend, const K: usize>(
    inputs: TokenMix<FloatTensor<B>, K>,
    grads: [Option<FloatTensor<B>>; K],
    wants: [bool; 3 + MOST],
) -> [Option<FloatTensor<B>>; 3 + MOST] {
    let _span = tracing::trace_span!("token shift").entered();
    let [x, before, _, maa @ ..] = wants;
    let wants = TokenMixWants {
        x: x || before,
        maa: maa.contains(&true),
    };
    let grads = B::token_mix_backward(inputs, grads, wants);
    let mut results = [const { None }; 3 + MOST];
    let shared = grads.maa.into_iter().flatten().map(Some);
    let all = [grads.x, grads.before, grads.by_data];
    for (result, grad) in results.iter_mut().zip(all.into_iter().chain(shared)) {
        *result = grad;
    }
    results
}

impl<B: Backend, C: CheckpointStrategy> Backend for Autodiff<B, C> {
    /// Returns the inner backend's kernel if it has a backward. The result has no backward itself:
    /// second derivatives use the tensor forms.
    fn wkv6_kernel(
        dtype: DType,
        head_size: usize,
        device: &Self::Device,
    ) -> Option<Wkv6Kernel<FloatTensor<Self>>> {
        B::wkv6_kernel(dtype, head_size, device)?.backward?;
        Some(Wkv6Kernel {
            forward: forward::<B, C>,
            backward: None,
        })
    }

    fn token_mix<const K: usize>(inputs: TokenMix<FloatTensor<Self>, K>) -> [FloatTensor<Self>; K] {
        const { assert!(K <= MOST) };
        let saved = TokenMix {
            x: inputs.x.primitive.clone(),
            before: inputs
                .before
                .as_ref()
                .map(|tensor| tensor.primitive.clone()),
            maa: std::array::from_fn(|k| inputs.maa[k].primitive.clone()),
            by_data: inputs
                .by_data
                .as_ref()
                .map(|tensor| tensor.primitive.clone()),
        };
        let outputs = B::token_mix(saved.clone());
        let mut nodes = [const { None }; 3 + MOST];
        nodes[..3].copy_from_slice(&[
            Some(&inputs.x),
            inputs.before.as_ref(),
            inputs.by_data.as_ref(),
        ]);
        for (node, maa) in nodes[3..].iter_mut().zip(&inputs.maa) {
            *node = Some(maa);
        }
        let backward = token_mix_backward::<B, K>;
        record::<B, C, _, { 3 + MOST }, K>(nodes, outputs, saved, backward)
    }
}
