//! Converts adapters to LoRA, which every tool serves.

use super::{Naming, SavedAdapter};
use crate::adapter::decompose;
use crate::{AdapterConfig, FileError, LoraConfig, LoraStart, Variant};
use bone_files::wording::joined;
use burn::tensor::{DType, TensorData};
use std::collections::BTreeMap;

/// How much of a change a LoRA keeps if it cannot keep all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// This many directions of every layer, or all that the layer has.
    Rank(usize),
    /// The smallest rank that keeps this fraction of the sum of squares of every layer's change,
    /// above 0 and at most 1.
    Energy(f64),
}

/// Error of a LoRA against the adapter that it replaces: norm of the difference over norm of the
/// change.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// Error over all layers.
    pub overall: f64,
    /// The layer with the largest error, and that error.
    pub worst: Option<(String, f64)>,
}

impl SavedAdapter {
    /// Converts miss and miss-mini exactly to LoRA: `A[j,i] = 1` where `i mod r = j`, `B = Dᵀ`, at
    /// scale 1. A LoRA stays unchanged. `layers` are the model's linear layers: path, inputs,
    /// outputs.
    ///
    /// See the [example](crate::saved).
    ///
    /// # Errors
    ///
    /// The adapter has no exact LoRA, or adapts a layer that the model does not have.
    pub fn to_lora(&self, layers: &[(String, usize, usize)]) -> Result<Self, FileError> {
        let refuse = |reason: String| FileError::NotOneAdapter(reason);
        let Some(config) = &self.config else {
            return Err(refuse(
                "an initial state does not change a weight, so it cannot be converted to LoRA"
                    .into(),
            ));
        };
        if config.variant.lora().is_some() {
            return Ok(self.clone());
        }
        if !config.variant.is_lora_exactly() {
            let name = config.variant.name();
            let reason = "has no exact LoRA; give a rank or a fraction of its energy to keep";
            return Err(refuse(format!("{name} {reason}")));
        }
        let method = config.variant.method();
        let mut factors = BTreeMap::new();
        let mut unknown = Vec::new();
        for (layer, tensors) in &self.layers {
            match layers.iter().find(|(path, ..)| path == layer) {
                Some((_, d_input, d_output)) => {
                    let of_layer = method.to_lora(tensors, [*d_input, *d_output]);
                    factors.insert(layer.clone(), of_layer);
                }
                None => unknown.push(format!("the model has no layer {layer}")),
            }
        }
        match unknown.is_empty() {
            true => Ok(self.with_factors(config, config.rank, factors)),
            false => Err(refuse(joined(unknown, "; "))),
        }
    }

    /// Converts any adapter to the LoRA that is nearest to its change of every weight, with the
    /// singular value decomposition of the change. `change` returns a layer's change, `[out, in]`.
    ///
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// # use bone::saved::SavedAdapter;
    /// # use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant};
    /// # let layer = BoneLinearConfig::new(6, 4).init::<burn::backend::Flex>(&Default::default());
    /// # let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
    /// # let saved = SavedAdapter::of(&bone::attach(vec![layer], &config)?, &config)?;
    /// use bone::FileError;
    /// use bone::saved::Keep;
    /// use burn::tensor::TensorData;
    ///
    /// // `saved` adapts the layer `0`, of 6 inputs and 4 outputs.
    /// // Its change of the weight is a matrix of rank 1.
    /// let change = |_layer: &str| -> Result<TensorData, FileError> {
    ///     Ok(TensorData::new(vec![1.0f32; 4 * 6], [4, 6]))
    /// };
    /// let (lora, lost) = saved.to_nearest_lora(Keep::Rank(1), change)?;
    /// assert_eq!(lora.layers["0"][0].shape[..], [1, 6]);
    /// assert!(lost.overall < 1e-3);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Errors of `change`, or a change is not finite.
    pub fn to_nearest_lora<E: From<FileError>>(
        &self,
        keep: Keep,
        mut change: impl FnMut(&str) -> Result<TensorData, E>,
    ) -> Result<(Self, Lost), E> {
        let refuse = |reason: String| E::from(FileError::NotOneAdapter(reason));
        let Some(config) = &self.config else {
            return Err(refuse(
                "an initial state does not change a weight, so it cannot be converted to LoRA"
                    .into(),
            ));
        };
        let mut found = BTreeMap::new();
        let (mut rank, mut lost, mut all) = (1, 0.0, 0.0);
        let mut worst: Option<(String, f64)> = None;
        for layer in self.layers.keys() {
            let change = change(layer)?.convert_dtype(DType::F32);
            let parts = decompose(&change).map_err(|why| refuse(format!("{layer}: {why}")))?;
            let squares: Vec<f64> = parts.values.iter().map(|s| f64::from(*s).powi(2)).collect();
            let total: f64 = squares.iter().sum();
            let kept = match keep {
                Keep::Rank(rank) => rank.min(squares.len()),
                Keep::Energy(share) => {
                    let mut sum = 0.0;
                    let enough = |s: &f64| {
                        sum += s;
                        // Rounding must not add one more direction.
                        sum >= share * total * (1.0 - 1e-9)
                    };
                    squares
                        .iter()
                        .position(enough)
                        .map_or(squares.len(), |at| at + 1)
                }
            };
            let missing: f64 = squares[kept..].iter().sum();
            (lost, all) = (lost + missing, all + total);
            let of_layer = if total > 0.0 {
                (missing / total).sqrt()
            } else {
                0.0
            };
            if worst.as_ref().is_none_or(|(_, most)| of_layer > *most) {
                worst = Some((layer.clone(), of_layer));
            }
            rank = rank.max(kept);
            found.insert(layer.clone(), (parts, kept));
        }
        // One folder has one rank: layers with a smaller rank are padded with zeros.
        let factors = found.into_iter().map(|(layer, (parts, kept))| {
            let factors = parts.factors(kept, rank);
            (layer, factors.to_vec())
        });
        let lora = self.with_factors(config, rank, factors.collect());
        let overall = if all > 0.0 { (lost / all).sqrt() } else { 0.0 };
        Ok((lora, Lost { overall, worst }))
    }

    /// Returns this adapter with a LoRA's factors at scale 1 in place of its tensors.
    fn with_factors(
        &self,
        config: &AdapterConfig,
        rank: usize,
        layers: BTreeMap<String, Vec<TensorData>>,
    ) -> Self {
        let variant = Variant::Lora(LoraConfig {
            alpha: rank as f64,
            rslora: false,
            start: LoraStart::Random,
        });
        Self {
            config: Some(AdapterConfig {
                variant,
                rank,
                ..config.clone()
            }),
            layers,
            naming: Naming::LORA,
            ..self.clone()
        }
    }
}
