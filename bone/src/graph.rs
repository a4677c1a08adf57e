//! Adds operations with a hand-written backward to burn's autodiff graph.
//!
//! A node of this graph has one output. An operation with several outputs becomes one node for the
//! whole, whose own output is unused, and one child node for each output. A child's backward stores
//! its gradient. The whole's backward runs after all children and reads these gradients. So nothing
//! is packed, sliced or padded.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::graph::cat;
//! use burn::backend::{Autodiff, Flex};
//! use burn::tensor::Tensor;
//!
//! let device = Default::default();
//! let weight = Tensor::<Autodiff<Flex>, 1>::ones([2], &device).require_grad();
//! let other = Tensor::<Autodiff<Flex>, 1>::ones([1], &device);
//! let gradients = cat(vec![weight.clone().mul_scalar(3.0), other], 0).sum().backward();
//! let gradient = weight.grad(&gradients).expect("it is tracked").into_data();
//! assert_eq!(gradient.to_vec::<f32>().expect("f32"), [3.0, 3.0]);
//! # }
//! ```

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

/// A hand-written backward. It takes the saved tensors, the gradients to the outputs (`None` means
/// zero) and which inputs want a gradient. It returns the gradients to the inputs; those not
/// requested may be `None`.
pub type BackwardFn<T, S, const N: usize, const M: usize> =
    fn(S, [Option<T>; M], [bool; N]) -> [Option<T>; N];

/// The outputs' gradients, passed from the children to the whole.
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
        // This gradient is a token: it only marks that a child ran.
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

/// A child node, identified by its output.
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

/// Returns a placeholder for the whole's output and its gradient: one number, never read. The graph
/// adds the gradients of several children, and their outputs may differ in dtype.
fn token<B: BurnBackend>(like: &FloatTensor<B>) -> FloatTensor<B> {
    one_number::<B>(like, DType::F32)
}

fn one_number<B: BurnBackend>(like: &FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    B::float_zeros(Shape::from([1]), &B::float_device(like), dtype.into())
}

/// Takes the values of a tensor, for an operation that overwrites them. Returns the values, and the
/// tensor with only its place on the graph, which [`record`] needs.
///
/// The tensor is then an input of [`record`], as in its example.
pub fn take_values<B: BurnBackend, C: CheckpointStrategy>(
    mut tensor: FloatTensor<Autodiff<B, C>>,
) -> (FloatTensor<B>, FloatTensor<Autodiff<B, C>>) {
    let place = one_number::<B>(&tensor.primitive, tensor.dtype());
    let values = std::mem::replace(&mut tensor.primitive, place);
    (values, tensor)
}

/// Adds an operation to the graph. `outputs` were made from `inputs`; `backward` computes the
/// inputs' gradients from the outputs' gradients and from `saved`. An input may be `None`; its
/// gradient is then never requested.
///
/// Second derivatives are not supported: the backward runs on the inner backend.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::graph::record;
/// use burn::backend::{Autodiff, Flex, autodiff::checkpoint::strategy::NoCheckpointing};
/// use burn::tensor::{Tensor, TensorPrimitive, ops::FloatTensor};
///
/// /// The operation `y = 5·x`, and its backward `dx = 5·dy`.
/// fn times_five(values: FloatTensor<Flex>) -> FloatTensor<Flex> {
///     let values = Tensor::<Flex, 1>::from_primitive(TensorPrimitive::Float(values));
///     values.mul_scalar(5.0).into_primitive().tensor()
/// }
///
/// let x = Tensor::<Autodiff<Flex>, 1>::ones([1], &Default::default()).require_grad();
/// let input = x.clone().into_primitive().tensor();
/// let output = times_five(input.primitive.clone());
/// let [y] = record::<Flex, NoCheckpointing, _, 1, 1>(
///     [Some(&input)],
///     [output],
///     (),
///     |_saved, [gradient], _wants| [gradient.map(times_five)],
/// );
/// let y = Tensor::<Autodiff<Flex>, 1>::from_primitive(TensorPrimitive::Float(y));
/// let gradient = x.grad(&y.backward()).expect("it is tracked");
/// assert_eq!(gradient.into_scalar(), 5.0);
/// # }
/// ```
///
/// # Panics
///
/// Without outputs, or if all inputs are `None`.
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

/// Concatenates like `Tensor::cat`, safely for tensors on a graph that another thread's backward
/// may clean up.
///
/// burn-autodiff releases the inputs before the result is on the graph. If nothing else refers to
/// that graph, a backward that ends on another thread drops its first operations, and their
/// gradients are lost silently.
///
/// A single tensor is returned as it is; burn would copy it.
///
/// See the [example](crate::graph).
///
/// # Panics
///
/// Like `Tensor::cat`.
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
