//! Adds operations with their own bodies to burn-fusion's streams.
//!
//! Fusion delays operations until it knows what follows. A custom operation declares its outputs up
//! front and runs unfused, between fused ones.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape};
use burn_fusion::stream::{Operation, OperationStreams};
use burn_fusion::{Fusion, FusionBackend, FusionRuntime};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, TensorIr};
use std::fmt;
use std::marker::PhantomData;

type Handle<B> = <<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle;

/// The tensors that an operation takes, on a backend.
#[derive(Debug, Clone)]
pub struct Inputs<B: Backend> {
    /// Float tensors.
    pub floats: Vec<FloatTensor<B>>,
    /// Integer tensors.
    pub ints: Vec<IntTensor<B>>,
}

impl<B: Backend> From<Vec<FloatTensor<B>>> for Inputs<B> {
    fn from(floats: Vec<FloatTensor<B>>) -> Self {
        Self {
            floats,
            ints: Vec::new(),
        }
    }
}

impl<B: Backend> Inputs<B> {
    /// Returns the float tensors, in the order of the inputs.
    ///
    /// Example: `models/lm/src/backend/fusion.rs` of this repository.
    ///
    /// # Panics
    ///
    /// If the number of float tensors is not `N`.
    pub fn floats<const N: usize>(self) -> [FloatTensor<B>; N] {
        let all: Result<_, Vec<_>> = self.floats.try_into();
        all.unwrap_or_else(|all| panic!("{} tensors, not {N}", all.len()))
    }
}

struct Node<B, F> {
    ir: CustomOpIr,
    /// Number of float inputs, which precede the integer inputs.
    floats: usize,
    body: F,
    backend: PhantomData<fn(B)>,
}

impl<B, F> fmt::Debug for Node<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ir.id)
    }
}

impl<B, F> Operation<B::FusionRuntime> for Node<B, F>
where
    B: FusionBackend,
    F: Fn(Inputs<B>) -> Vec<FloatTensor<B>> + Send + Sync,
{
    fn execute(&self, handles: &mut HandleContainer<Handle<B>>) {
        let (floats, ints) = self.ir.inputs.split_at(self.floats);
        let floats = floats
            .iter()
            .map(|input| handles.get_float_tensor::<B>(input));
        let floats = floats.collect();
        let ints = ints.iter().map(|input| handles.get_int_tensor::<B>(input));
        let ints = ints.collect();
        let outputs = (self.body)(Inputs { floats, ints });
        for (output, ir) in outputs.into_iter().zip(&self.ir.outputs) {
            handles.register_float_tensor::<B>(&ir.id, output);
        }
    }
}

/// Records `body` to run on the backend under fusion. It receives the `inputs` and returns tensors
/// of the shapes and precisions of `outputs`, in that order.
///
/// Example: `models/lm/src/backend/fusion.rs` of this repository.
///
/// # Panics
///
/// Without a float input.
pub fn record<B: FusionBackend>(
    name: &'static str,
    inputs: Inputs<Fusion<B>>,
    outputs: Vec<(Shape, DType)>,
    body: impl Fn(Inputs<B>) -> Vec<FloatTensor<B>> + Send + Sync + 'static,
) -> Vec<FloatTensor<Fusion<B>>> {
    let floats = inputs.floats.len();
    let mut all = inputs.floats;
    all.extend(inputs.ints);
    let client = all[0].client.clone();
    let streams = OperationStreams::with_inputs(&all);
    let uninit = |(shape, dtype)| TensorIr::uninit(client.create_empty_handle(), shape, dtype);
    let outputs: Vec<TensorIr> = outputs.into_iter().map(uninit).collect();
    let all: Vec<TensorIr> = all.into_iter().map(|input| input.into_ir()).collect();
    let ir = CustomOpIr::new(name, &all, &outputs);
    let node = Node {
        ir: ir.clone(),
        floats,
        body,
        backend: PhantomData::<fn(B)>,
    };
    client.register(streams, OperationIr::Custom(ir), node)
}
