//! The kernel's backward as a node of burn's autodiff graph.
//!
//! A node there has one output, wkv6 has two, and both carry gradients. So there are three nodes:
//! one for the whole operation, whose own output nobody reads, and one for each output, its
//! children. A child's backward leaves its gradient where the whole's backward, which runs after
//! both, takes it: nothing is packed together, sliced apart or padded.

use super::{Backend, Wkv6Backward, Wkv6Inputs, Wkv6Kernel, Wkv6Outputs};
use burn::backend::autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::tensor::backend::{AutodiffBackend, Backend as BurnBackend};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, TensorMetadata};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The outputs' gradients on their way from the children to the whole.
#[derive(Debug, Clone)]
struct Handover<T>(Arc<Mutex<Wkv6Outputs<Option<T>>>>);

impl<T> Handover<T> {
    fn lock(&self) -> MutexGuard<'_, Wkv6Outputs<Option<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The inputs: they exist anyway, nothing is made for the backward.
#[derive(Debug, Clone)]
struct Saved<T> {
    inputs: Wkv6Inputs<T>,
    grads: Handover<T>,
    backward: Wkv6Backward<T>,
}

#[derive(Debug)]
struct Whole;

impl<B: Backend> Backward<B, 6> for Whole {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 6>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        // Only says that a child came by.
        grads.consume::<B>(&ops.node);
        let outputs = std::mem::take(&mut *ops.state.grads.lock());
        let inputs = (ops.state.backward)(ops.state.inputs, outputs);
        let results = [
            Some(inputs.receptance),
            Some(inputs.key),
            Some(inputs.value),
            Some(inputs.decay),
            Some(inputs.bonus),
            inputs.state,
        ];
        for (parent, grad) in ops.parents.into_iter().zip(results) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

/// A child: which of the outputs it is.
#[derive(Debug, Clone, Copy)]
enum Part {
    Tokens,
    Last,
}

impl<B: Backend> Backward<B, 1> for Part {
    type State = Handover<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let [whole] = ops.parents;
        if let Some(whole) = whole {
            grads.register::<B>(whole.id, token::<B>(&grad));
            let mut outputs = ops.state.lock();
            match self {
                Part::Tokens => outputs.output = Some(grad),
                Part::Last => outputs.state = Some(grad),
            }
        }
    }
}

/// What stands for the whole's output and its gradient: one number, never read.
fn token<B: BurnBackend>(like: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_zeros(
        Shape::from([1]),
        &B::float_device(like),
        like.dtype().into(),
    )
}

fn child<B: Backend, C: CheckpointStrategy>(
    part: Part,
    whole: &FloatTensor<Autodiff<B, C>>,
    grads: Handover<FloatTensor<B>>,
    value: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let prepared = Backward::<B, 1>::prepare::<C>(part, [whole.node.clone()]);
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(grads, value),
        OpsKind::UnTracked(prep) => prep.finish(value),
    }
}

fn forward<B: Backend, C: CheckpointStrategy>(
    kernel: Wkv6Kernel<B>,
    backward: Wkv6Backward<FloatTensor<B>>,
    inputs: Wkv6Inputs<FloatTensor<Autodiff<B, C>>>,
) -> Wkv6Outputs<FloatTensor<Autodiff<B, C>>> {
    let token = token::<B>(&inputs.receptance.primitive);
    let none = || Autodiff::<B, C>::from_inner(token.clone()).node;
    let nodes = [
        inputs.receptance.node.clone(),
        inputs.key.node.clone(),
        inputs.value.node.clone(),
        inputs.decay.node.clone(),
        inputs.bonus.node.clone(),
        inputs.state.as_ref().map_or_else(none, |s| s.node.clone()),
    ];
    let inputs = inputs.map(|tensor| tensor.primitive);
    let outputs = (kernel.forward)(inputs.clone());
    let grads = Handover(Arc::new(Mutex::new(Wkv6Outputs::default())));
    let prepared = Backward::<B, 6>::prepare::<C>(Whole, nodes);
    let whole = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(
            Saved {
                inputs,
                grads: grads.clone(),
                backward,
            },
            token,
        ),
        OpsKind::UnTracked(prep) => prep.finish(token),
    };
    Wkv6Outputs {
        output: child::<B, C>(Part::Tokens, &whole, grads.clone(), outputs.output),
        state: child::<B, C>(Part::Last, &whole, grads, outputs.state),
    }
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
