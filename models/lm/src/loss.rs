use crate::Backend;
use burn::tensor::{Int, Tensor, TensorPrimitive};

/// Computes `−log p(target)` of every row: logits `[n, vocab]`, targets `[n]` → `[n]`.
///
/// It allocates nothing else of the size of the logits; the gradient overwrites them if the backend
/// supports it.
///
/// # Panics
///
/// If the numbers of targets and rows differ.
pub fn cross_entropy<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 1, Int>) -> Tensor<B, 1> {
    assert_eq!(
        logits.dims()[0],
        targets.dims()[0],
        "one target per row is required"
    );
    let losses = B::cross_entropy(logits.into_primitive().tensor(), targets.into_primitive());
    Tensor::from_primitive(TensorPrimitive::Float(losses))
}
