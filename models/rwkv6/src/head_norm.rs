use crate::Backend;
use bone_lm::layer_norm;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Normalisation of each head by itself, scaled and shifted channel by channel: torch's
/// `GroupNorm` with one group a head.
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
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`, and so the output
    pub fn forward(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        layer_norm(hidden, &self.weight, &self.bias, self.heads, EPSILON)
    }
}
