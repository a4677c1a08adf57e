//! Merges single weights, for models that are never loaded whole.

use super::SavedAdapter;
use super::put_on::with_tensors;
use crate::{AdapterConfig, Backend, BoneLinear, FileError, LayerError, State};
use burn::module::{Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};

impl SavedAdapter {
    /// Returns whether the adapter changes the weight of a layer.
    ///
    /// Example: [`Scan`](super::Scan).
    pub fn adapts(&self, layer: &str) -> bool {
        self.layers.contains_key(layer)
    }

    /// Returns the `weight` `[out, in]` of `layer` with its adapter merged, in f32. Check the
    /// shapes first with [`Scan::fit`](super::Scan::fit). A layer without an adapter stays
    /// unchanged.
    ///
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// # use bone::saved::SavedAdapter;
    /// # use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant};
    /// # let layer = BoneLinearConfig::new(6, 4).init::<burn::backend::Flex>(&Default::default());
    /// # let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
    /// # let saved = SavedAdapter::of(&bone::attach(vec![layer], &config)?, &config)?;
    /// use burn::backend::Flex;
    /// use burn::tensor::TensorData;
    ///
    /// // `saved` adapts the layer `0`, of 6 inputs and 4 outputs.
    /// let weight = TensorData::new(vec![1.0f32; 4 * 6], [4, 6]);
    /// let merged = saved.merge::<Flex>("0", weight.clone(), &Default::default())?;
    /// let base = saved.unmerge::<Flex>("0", merged, &Default::default())?;
    /// assert_eq!(base, weight);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The merged weight would not be finite.
    pub fn merge<B: Backend>(
        &self,
        layer: &str,
        weight: TensorData,
        device: &B::Device,
    ) -> Result<TensorData, LayerError> {
        self.change::<B>(layer, weight, device, |adapted| adapted.merge(layer))
    }

    /// Removes the adapter from a merged weight, the inverse of [`merge`](Self::merge).
    ///
    /// Example: [`merge`](Self::merge).
    ///
    /// # Errors
    ///
    /// `I + B` has no inverse, or the result is not finite.
    pub fn unmerge<B: Backend>(
        &self,
        layer: &str,
        weight: TensorData,
        device: &B::Device,
    ) -> Result<TensorData, LayerError> {
        self.change::<B>(layer, weight, device, |mut merged| {
            merged.state = State::Merged;
            merged.unmerge(layer)
        })
    }

    fn change<B: Backend>(
        &self,
        layer: &str,
        weight: TensorData,
        device: &B::Device,
        change: impl FnOnce(BoneLinear<B>) -> Result<BoneLinear<B>, LayerError>,
    ) -> Result<TensorData, LayerError> {
        match self.on_layer::<B>(layer, weight.clone(), device)? {
            Some(adapted) => {
                // The layout of checkpoints.
                let weight = change(adapted)?.weight.val().transpose();
                Ok(weight.into_data())
            }
            None => Ok(weight),
        }
    }

    /// Converts an adapter on a residual to a LoRA of the original weights
    /// ([`AdapterConfig::saved`]). `weight` returns a layer's weight, `[out, in]`.
    ///
    /// The example of [`to_nearest_lora`](Self::to_nearest_lora) has such a function.
    ///
    /// # Errors
    ///
    /// Errors of `weight`, or the factors of a weight cannot be computed.
    pub fn on_untouched<B: Backend, E: From<FileError>>(
        &self,
        device: &B::Device,
        mut weight: impl FnMut(&str) -> Result<TensorData, E>,
    ) -> Result<Self, E> {
        let mut untouched = self.clone();
        untouched.config = self.config.as_ref().map(AdapterConfig::saved);
        for (layer, tensors) in &mut untouched.layers {
            let adapted = self.on_layer::<B>(layer, weight(layer)?, device);
            let adapted = adapted.map_err(|e| FileError::NotOneAdapter(e.to_string()))?;
            if let Some(adapter) = adapted.as_ref().and_then(BoneLinear::adapter) {
                *tensors = adapter.saved_tensors();
            }
        }
        Ok(untouched)
    }

    fn on_layer<B: Backend>(
        &self,
        layer: &str,
        weight: TensorData,
        device: &B::Device,
    ) -> Result<Option<BoneLinear<B>>, LayerError> {
        let (Some(config), Some(tensors)) = (&self.config, self.layers.get(layer)) else {
            return Ok(None);
        };
        let weight = weight.convert_dtype(DType::F32);
        let weight = Tensor::<B, 2>::from_data(weight, (device, DType::F32)).transpose();
        let bare = BoneLinear {
            weight: Param::initialized(ParamId::new(), weight),
            bias: None,
            adapter: None,
            state: State::Enabled,
        };
        let [d_input, d_output] = bare.dims();
        let adapted = with_tensors(bare, config, layer, tensors.clone());
        adapted.map(Some).map_err(|reason| LayerError {
            module: layer.to_string(),
            d_input,
            d_output,
            reason: reason.into(),
        })
    }
}
