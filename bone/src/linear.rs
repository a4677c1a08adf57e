use crate::adapter::{Adapter, base_product};
use crate::{AdapterConfig, Backend, LayerError, Misfit};
use burn::module::{Initializer, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Tensor};

mod module;

pub use module::BoneLinearRecord;

/// How a layer uses its adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// The adapter, if any, takes part in the forward.
    #[default]
    Enabled,
    /// The adapter is kept but left out of the forward.
    Disabled,
    /// The adapter is inside the weight; it is kept so that it can be taken out again.
    Merged,
}

/// Configuration to create a [`BoneLinear`] layer, like burn's `LinearConfig`.
#[derive(Debug, Clone)]
pub struct BoneLinearConfig {
    linear: LinearConfig,
}

impl BoneLinearConfig {
    /// Makes the configuration of a layer of `d_input` inputs and `d_output` outputs with a bias.
    ///
    /// Example: [`BoneLinear`].
    pub fn new(d_input: usize, d_output: usize) -> Self {
        Self {
            linear: LinearConfig::new(d_input, d_output),
        }
    }

    /// Sets whether the layer has a bias.
    ///
    /// Example: [`BoneLinear`].
    pub fn with_bias(mut self, bias: bool) -> Self {
        self.linear = self.linear.with_bias(bias);
        self
    }

    /// Sets how the weight and the bias are initialised.
    ///
    /// Example: [`BoneLinear`].
    pub fn with_initializer(mut self, initializer: Initializer) -> Self {
        self.linear = self.linear.with_initializer(initializer);
        self
    }

    /// Initialises a layer without an adapter.
    ///
    /// Example: [`BoneLinear`].
    pub fn init<B: Backend>(&self, device: &B::Device) -> BoneLinear<B> {
        self.linear.init(device).into()
    }
}

/// burn's `Linear` with room for an adapter.
///
/// It has `Linear`'s fields and record. Without an adapter it also has `Linear`'s forward.
/// [`attach`](crate::attach) puts adapters on a whole module, [`attach`](Self::attach) on one
/// layer.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinear, BoneLinearConfig, Selection, State, Targets, Variant};
/// use burn::backend::Flex;
/// use burn::tensor::Tensor;
///
/// let device = Default::default();
/// let layer: BoneLinear<Flex> = BoneLinearConfig::new(6, 4).with_bias(false).init(&device);
/// let x = Tensor::<Flex, 3>::ones([2, 5, 6], &device);
/// assert_eq!(layer.forward(x).dims(), [2, 5, 4]);
///
/// let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// let merged = layer.attach(&config, "layer")?.merge("layer")?;
/// assert_eq!(merged.state(), State::Merged);
/// let layer = merged.unmerge("layer")?.detach();
/// assert!(layer.adapter().is_none());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BoneLinear<B: Backend> {
    /// Matrix of shape `[d_input, d_output]`, in any float precision.
    pub weight: Param<Tensor<B, 2>>,
    /// Vector of size `d_output`.
    pub bias: Option<Param<Tensor<B, 1>>>,
    pub(crate) adapter: Option<Adapter<B>>,
    pub(crate) state: State,
}

impl<B: Backend> From<Linear<B>> for BoneLinear<B> {
    fn from(linear: Linear<B>) -> Self {
        Self {
            weight: linear.weight,
            bias: linear.bias,
            adapter: None,
            state: State::Enabled,
        }
    }
}

impl<B: Backend> BoneLinear<B> {
    /// Returns `[d_input, d_output]`.
    ///
    /// Example: [`BoneLinear`].
    pub fn dims(&self) -> [usize; 2] {
        self.weight.lazy_shape().dims()
    }

    /// Returns the adapter, if the layer carries one.
    ///
    /// Example: [`BoneLinear`].
    pub fn adapter(&self) -> Option<&Adapter<B>> {
        self.adapter.as_ref()
    }

    /// Returns how the layer uses its adapter.
    ///
    /// Example: [`BoneLinear`].
    pub fn state(&self) -> State {
        self.state
    }

    /// Applies the layer, with its adapter if it carries an enabled one.
    ///
    /// The result has the input's precision; with an adapter it is computed in the adapter's.
    ///
    /// Example: [`BoneLinear`].
    ///
    /// # Shapes
    ///
    /// - input: `[..., d_input]`
    /// - output: `[..., d_output]`
    pub fn forward<const D: usize>(&self, input: Tensor<B, D>) -> Tensor<B, D> {
        let [d_input, d_output] = self.dims();
        let mut shape = input.dims();
        let dtype = input.dtype();
        // A one-dimensional input is a batch of one.
        let batch = if D == 1 { 1 } else { shape[0] };
        let n = shape[..D - 1].iter().product();
        // Two dimensions, so that no backend copies a transposed weight to broadcast it.
        let x = input.reshape([n, d_input]);
        let mut y = match (&self.adapter, self.state) {
            (Some(adapter), State::Enabled) => {
                let _span = tracing::trace_span!("adapter").entered();
                let x = x.cast(adapter.dtype());
                adapter.on_layer().forward(x, self.weight.val(), batch)
            }
            _ => base_product(x, self.weight.val()),
        };
        if let Some(bias) = &self.bias {
            let bias = bias.val().cast(y.dtype());
            y = y + bias.unsqueeze();
        }
        shape[D - 1] = d_output;
        y.cast(dtype).reshape(shape)
    }

    fn error(&self, module: &str, reason: impl Into<Misfit>) -> LayerError {
        let [d_input, d_output] = self.dims();
        LayerError {
            module: module.to_string(),
            d_input,
            d_output,
            reason: reason.into(),
        }
    }

    /// Checks that `config`'s variant can be put on this layer.
    ///
    /// Example: [`BoneLinear`].
    ///
    /// # Errors
    ///
    /// The shape does not allow it, or the layer carries an adapter already.
    pub fn check(&self, config: &AdapterConfig, path: &str) -> Result<(), LayerError> {
        if self.adapter.is_some() {
            return Err(self.error(path, "it already has an adapter; detach it first"));
        }
        let [d_input, d_output] = self.dims();
        config
            .variant
            .check(config.rank, d_input, d_output)
            .map_err(|reason| self.error(path, reason))
    }

    /// Puts a new adapter on this layer; its output does not change yet. `path` names the layer in
    /// errors and seeds its dropout masks. `config.targets` is ignored.
    ///
    /// Example: [`BoneLinear`].
    ///
    /// # Errors
    ///
    /// Like [`check`](Self::check), or the adapter's factors cannot be computed from the weight.
    pub fn attach(mut self, config: &AdapterConfig, path: &str) -> Result<Self, LayerError> {
        self.check(config, path)?;
        let adapter = Adapter::new(config, path, &self.weight, None);
        self.adapter = Some(adapter.map_err(|reason| self.error(path, reason))?);
        self.state = State::Enabled;
        Ok(self)
    }

    /// Removes the adapter; a merged one stays in the weight.
    ///
    /// Example: [`BoneLinear`].
    pub fn detach(mut self) -> Self {
        self.adapter = None;
        self.state = State::Enabled;
        self
    }

    /// Enables or disables the adapter in the forward. A merged adapter stays merged.
    ///
    /// Example: [`BoneLinear`].
    pub fn set_enabled(mut self, enabled: bool) -> Self {
        if self.state != State::Merged {
            self.state = if enabled {
                State::Enabled
            } else {
                State::Disabled
            };
        }
        self
    }

    /// Adds the adapter to the weight: `W ← W'`, computed in f32 and rounded once to the weight's
    /// precision.
    ///
    /// Example: [`BoneLinear`].
    ///
    /// # Errors
    ///
    /// The layer has no adapter, the adapter is merged already, or `W'` is not finite.
    pub fn merge(self, path: &str) -> Result<Self, LayerError> {
        match (&self.adapter, self.state) {
            (None, _) => Err(self.error(path, "it has no adapter")),
            (_, State::Merged) => Err(self.error(path, "its adapter is already merged")),
            (Some(adapter), _) => {
                let weight = self.weight.val().cast(adapter.dtype());
                let merged = adapter.on_layer().merge(weight);
                self.with_weight(merged, State::Merged, path)
            }
        }
    }

    /// Removes a merged adapter from the weight. Exact up to rounding for miss; bone solves
    /// `W'[o,k] = W[o,k](I + B) + B` for `W`, which loses digits in half precision.
    ///
    /// Example: [`BoneLinear`].
    ///
    /// # Errors
    ///
    /// The layer has no merged adapter, or `I + B` has no inverse.
    pub fn unmerge(self, path: &str) -> Result<Self, LayerError> {
        match (&self.adapter, self.state) {
            (Some(adapter), State::Merged) => {
                let weight = self.weight.val().cast(adapter.dtype());
                match adapter.on_layer().unmerge(weight) {
                    Ok(weight) => self.with_weight(weight, State::Enabled, path),
                    Err(reason) => Err(self.error(path, reason)),
                }
            }
            _ => Err(self.error(path, "it has no merged adapter")),
        }
    }

    fn with_weight(
        mut self,
        weight: Tensor<B, 2>,
        state: State,
        path: &str,
    ) -> Result<Self, LayerError> {
        let dtype = self.weight.dtype();
        // The merged weight is a value, not part of a graph.
        let weight = weight.detach().cast(dtype);
        let finite = weight.clone().abs().max().cast(DType::F32).into_scalar();
        if !burn::tensor::ElementConversion::elem::<f32>(finite).is_finite() {
            return Err(self.error(path, "the merged weight is not finite"));
        }
        let tracked = self.weight.is_require_grad();
        self.weight = self.weight.map(|_| weight.set_require_grad(tracked));
        self.state = state;
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
