use crate::Backend;
use crate::backend::NormParams;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorPrimitive};

/// Root mean square normalisation, `x / √(mean(x²) + ε) · w`, with checkpoints' name of its weight.
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
    /// - hidden: `[..., hidden_size]`; the output has the same shape
    pub fn forward<const D: usize>(&self, hidden: Tensor<B, D>) -> Tensor<B, D> {
        let _span = tracing::trace_span!("norm").entered();
        let shape = hidden.dims();
        let size = shape[D - 1];
        let weight = self.weight.val().cast(hidden.dtype());
        let rows = hidden.reshape([shape[..D - 1].iter().product(), size]);
        let rows = rows.into_primitive().tensor();
        let output = B::rms_norm(rows, weight.into_primitive().tensor(), self.epsilon);
        Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(output)).reshape(shape)
    }
}

/// Layer normalisation, `(x − mean) / √(variance + ε) · w + b`, with checkpoints' names of its
/// parameters.
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
    /// - hidden: `[..., hidden_size]`; the output has the same shape
    pub fn forward<const D: usize>(&self, hidden: Tensor<B, D>) -> Tensor<B, D> {
        layer_norm(hidden, &self.weight, &self.bias, 1, self.epsilon)
    }
}

/// Applies layer normalisation to each of `groups` equal parts of the last dimension. With several
/// groups it equals torch's `GroupNorm` of vectors.
///
/// # Shapes
///
/// - hidden: `[..., size]`; the output has the same shape
/// - weight, bias: `[size]`
///
/// # Panics
///
/// If `groups` does not divide the size.
pub fn layer_norm<B: Backend, const D: usize>(
    hidden: Tensor<B, D>,
    weight: &Param<Tensor<B, 1>>,
    bias: &Param<Tensor<B, 1>>,
    groups: usize,
    epsilon: f64,
) -> Tensor<B, D> {
    let shape = hidden.dims();
    let size = shape[D - 1];
    assert!(
        groups > 0 && size.is_multiple_of(groups),
        "the size {size} must be a multiple of {groups} groups"
    );
    let _span = tracing::trace_span!("norm").entered();
    let dtype = hidden.dtype();
    let vector = |param: &Param<Tensor<B, 1>>| param.val().cast(dtype).into_primitive().tensor();
    let params = NormParams {
        weight: vector(weight),
        bias: vector(bias),
        groups,
        epsilon,
    };
    let rows = hidden.reshape([shape[..D - 1].iter().product(), size]);
    let output = B::grouped_norm(rows.into_primitive().tensor(), params);
    Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(output)).reshape(shape)
}
