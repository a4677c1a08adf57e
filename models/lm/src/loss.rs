use crate::Backend;
use burn::tensor::{Int, Tensor, TensorPrimitive};

/// `−log p(target)` of every row: logits `[n, vocab]`, targets `[n]` → `[n]`.
///
/// Nothing of the size of the logits is made beside them; the gradient is written over them where
/// the backend can.
///
/// # Panics
///
/// There are not as many targets as rows.
pub fn cross_entropy<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 1, Int>) -> Tensor<B, 1> {
    assert_eq!(logits.dims()[0], targets.dims()[0], "a target for each row");
    let losses = B::cross_entropy(logits.into_primitive().tensor(), targets.into_primitive());
    Tensor::from_primitive(TensorPrimitive::Float(losses))
}
