use crate::Backend;
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
        let [batch, len, size] = hidden.dims();
        let dtype = hidden.dtype();
        let heads = hidden.reshape([batch, len, self.heads, size / self.heads]);
        let centred = heads.clone() - heads.mean_dim(3);
        let variance = centred.clone().square().mean_dim(3);
        let normed = centred * variance.add_scalar(EPSILON).sqrt().recip();
        let weight = self.weight.val().cast(dtype).unsqueeze();
        let bias = self.bias.val().cast(dtype).unsqueeze();
        normed.reshape([batch, len, size]) * weight + bias
    }
}
