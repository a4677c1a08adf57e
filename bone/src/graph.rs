//! Operations with a hand-written backward as nodes of burn's autodiff graph.
//!
//! A node there has one output. An operation with more becomes one node for the whole, whose own
//! output nobody reads, and one for each output, its children. A child's backward leaves its
//! gradient where the whole's backward, which runs after all of them, takes it: nothing is packed
//! together, sliced apart or padded.

use burn::backend::autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::tensor::backend::{AutodiffBackend, Backend as BurnBackend};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, Tensor, TensorMetadata};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// A hand-written backward: what the forward saved, the gradients to the outputs (`None` is zero)
/// and which inputs want one → the gradients to the inputs. What was not asked for may be `None`.
pub type BackwardFn<T, S, const N: usize, const M: usize> =
    fn(S, [Option<T>; M], [bool; N]) -> [Option<T>; N];

/// The outputs' gradients on their way from the children to the whole.
type Handover<T, const M: usize> = Arc<Mutex<[Option<T>; M]>>;

#[derive(Debug, Clone)]
struct Saved<T, S, const N: usize, const M: usize> {
    state: S,
    grads: Handover<T, M>,
    backward: BackwardFn<T, S, N, M>,
}

struct Whole<S, const M: usize>(PhantomData<fn(S)>);

impl<S, const M: usize> Debug for Whole<S, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Whole")
    }
}

impl<B, S, const N: usize, const M: usize> Backward<B, N> for Whole<S, M>
where
    B: BurnBackend,
    S: Clone + Send + Debug + 'static,
{
    type State = Saved<FloatTensor<B>, S, N, M>;

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        // Only says that a child came by.
        grads.consume::<B>(&ops.node);
        let outputs = {
            let mut handed = ops
                .state
                .grads
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *handed, [const { None }; M])
        };
        let wants = std::array::from_fn(|n| ops.parents[n].is_some());
        let results = (ops.state.backward)(ops.state.state, outputs, wants);
        for (parent, grad) in ops.parents.into_iter().zip(results) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<B>(parent.id, grad);
            }
        }
    }
}

/// A child: which of the outputs it is.
#[derive(Debug, Clone, Copy)]
struct Output<const M: usize>(usize);

impl<B: BurnBackend, const M: usize> Backward<B, 1> for Output<M> {
    type State = Handover<FloatTensor<B>, M>;

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
            let mut handed = ops.state.lock().unwrap_or_else(PoisonError::into_inner);
            handed[self.0] = Some(grad);
        }
    }
}

/// What stands for the whole's output and its gradient: one number, never read, but the graph adds
/// those of several children, whose outputs need not be of one dtype.
fn token<B: BurnBackend>(like: &FloatTensor<B>) -> FloatTensor<B> {
    one_number::<B>(like, DType::F32)
}

fn one_number<B: BurnBackend>(like: &FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    B::float_zeros(Shape::from([1]), &B::float_device(like), dtype.into())
}

/// Takes a tensor's values off, for an operation that writes over them: the values, and the tensor
/// with nothing but its place on the graph, which [`record`] wants.
pub fn take_values<B: BurnBackend, C: CheckpointStrategy>(
    mut tensor: FloatTensor<Autodiff<B, C>>,
) -> (FloatTensor<B>, FloatTensor<Autodiff<B, C>>) {
    let place = one_number::<B>(&tensor.primitive, tensor.dtype());
    let values = std::mem::replace(&mut tensor.primitive, place);
    (values, tensor)
}

/// Puts an operation on the graph: `outputs` were made from `inputs`, and `backward` makes the
/// inputs' gradients from the outputs' and from what is `saved`. An input may be left out; then
/// its gradient is never asked for.
///
/// Second gradients do not exist: the backward runs on the inner backend.
///
/// # Panics
///
/// Without outputs, or without one input that is there.
pub fn record<B, C, S, const N: usize, const M: usize>(
    inputs: [Option<&FloatTensor<Autodiff<B, C>>>; N],
    outputs: [FloatTensor<B>; M],
    saved: S,
    backward: BackwardFn<FloatTensor<B>, S, N, M>,
) -> [FloatTensor<Autodiff<B, C>>; M]
where
    B: BurnBackend,
    C: CheckpointStrategy,
    S: Clone + Send + Debug + 'static,
{
    let token = token::<B>(&outputs[0]);
    let nodes = inputs.map(|input| match input {
        Some(input) => input.node.clone(),
        None => Autodiff::<B, C>::from_inner(token.clone()).node,
    });
    let grads: Handover<FloatTensor<B>, M> = Arc::new(Mutex::new([const { None }; M]));
    let prepared = Backward::<B, N>::prepare::<C>(Whole::<S, M>(PhantomData), nodes);
    let whole = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let grads = grads.clone();
            let saved = Saved {
                state: saved,
                grads,
                backward,
            };
            prep.finish(saved, token)
        }
        OpsKind::UnTracked(prep) => prep.finish(token),
    };
    let mut index = 0;
    outputs.map(|output| {
        let child = Output::<M>(index);
        index += 1;
        let prepared = Backward::<B, 1>::prepare::<C>(child, [whole.node.clone()]);
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(grads.clone(), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    })
}

/// `Tensor::cat`, of tensors that may be on a graph which another thread's backward could tidy up.
///
/// burn-autodiff lets go of what is put together before the result is on the graph. Where nothing
/// else refers to that graph, a backward that ends on another thread meanwhile takes it for unused
/// and drops its first operations, and their gradients are lost without a word.
///
/// A single one is the whole, which burn would copy.
///
/// # Panics
///
/// As `Tensor::cat`.
pub fn cat<B: BurnBackend, const D: usize>(
    mut tensors: Vec<Tensor<B, D>>,
    dim: usize,
) -> Tensor<B, D> {
    if tensors.len() == 1 {
        return tensors.remove(0);
    }
    let held = tensors.clone();
    let whole = Tensor::cat(tensors, dim);
    drop(held);
    whole
}
