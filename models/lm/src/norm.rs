use crate::Backend;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Root mean square normalisation, `x / √(mean(x²) + ε) · w`, under the name checkpoints give its
/// weight.
#[derive(Module, Debug)]
pub struct RmsNorm<B: Backend> {
    /// `[hidden_size]`.
    pub weight: Param<Tensor<B, 1>>,
    /// ε.
    pub epsilon: f64,
}

impl<B: Backend> RmsNorm<B> {
    /// Normalises the last dimension.
    ///
    /// # Shapes
    ///
    /// - hidden: `[..., hidden_size]`, and so the output
    pub fn forward<const D: usize>(&self, hidden: Tensor<B, D>) -> Tensor<B, D> {
        let weight = self.weight.val().cast(hidden.dtype());
        let mean = hidden.clone().square().mean_dim(D - 1);
        hidden * mean.add_scalar(self.epsilon).sqrt().recip() * weight.unsqueeze()
    }
}

/// Layer normalisation, `(x − mean) / √(variance + ε) · w + b`, under the names checkpoints give
/// its parameters.
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// `[hidden_size]`.
    pub weight: Param<Tensor<B, 1>>,
    /// `[hidden_size]`.
    pub bias: Param<Tensor<B, 1>>,
    /// ε.
    pub epsilon: f64,
}

impl<B: Backend> LayerNorm<B> {
    /// Normalises the last dimension.
    ///
    /// # Shapes
    ///
    /// - hidden: `[..., hidden_size]`, and so the output
    pub fn forward<const D: usize>(&self, hidden: Tensor<B, D>) -> Tensor<B, D> {
        let weight = self.weight.val().cast(hidden.dtype()).unsqueeze();
        let bias = self.bias.val().cast(hidden.dtype()).unsqueeze();
        let centred = hidden.clone() - hidden.mean_dim(D - 1);
        let variance = centred.clone().square().mean_dim(D - 1);
        centred * variance.add_scalar(self.epsilon).sqrt().recip() * weight + bias
    }
}
