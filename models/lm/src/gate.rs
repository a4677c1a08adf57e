use crate::Backend;
use crate::backend::Gate;
use burn::tensor::{Tensor, TensorPrimitive};

/// Computes `tanh(x)`, element by element.
pub fn tanh<B: Backend, const D: usize>(input: Tensor<B, D>) -> Tensor<B, D> {
    let _span = tracing::trace_span!("activation").entered();
    let output = B::tanh(input.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

/// Computes `f(gate) · value`, element by element, of tensors of one shape.
pub fn gated<B: Backend, const D: usize>(
    gate: Tensor<B, D>,
    value: Tensor<B, D>,
    function: Gate,
) -> Tensor<B, D> {
    let _span = tracing::trace_span!("activation").entered();
    let gate = gate.into_primitive().tensor();
    let output = B::gated(gate, value.into_primitive().tensor(), function);
    Tensor::from_primitive(TensorPrimitive::Float(output))
}
