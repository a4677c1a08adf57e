use crate::Backend;
use bone_lm::layer_norm;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Normalises each head separately, and scales and shifts each channel: torch's `GroupNorm` with
/// one group per head.
#[derive(Module, Debug)]
pub struct HeadNorm<B: Backend> {
    /// `[hidden_size]`.
    pub weight: Param<Tensor<B, 1>>,
    /// `[hidden_size]`.
    pub bias: Param<Tensor<B, 1>>,
    pub(crate) heads: usize,
}

/// ε of the published models: 1e-5 · 8², for a `head_size_divisor` of 8.
const EPSILON: f64 = 64e-5;

impl<B: Backend> HeadNorm<B> {
    /// Normalises the heads.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`; the output has the same shape
    pub fn forward(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        layer_norm(hidden, &self.weight, &self.bias, self.heads, EPSILON)
    }
}
