//! Adapters independent of a model: the contents of any tool's file.
//!
//! A reader of a format returns a [`Scan`], a writer takes a [`SavedAdapter`]. [`Scan::put_on`]
//! goes from a file to a module, [`SavedAdapter::of`] from a module to a file.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::saved::SavedAdapter;
//! use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant, peft};
//! use burn::backend::Flex;
//!
//! let layer = BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default());
//! let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
//! let saved = SavedAdapter::of(&bone::attach(vec![layer], &config)?, &config)?;
//! assert_eq!(saved.num_params(), 2 * 4);
//!
//! // The same change of the weights as a LoRA, which every tool reads.
//! let lora = saved.to_lora(&[("0".to_string(), 6, 4)])?;
//! let folder = tempfile::tempdir()?;
//! peft::write(&lora, None, folder.path())?;
//! assert_eq!(peft::scan(folder.path())?.finish()?.contents(), lora.contents());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::weights::is_finite;
use crate::{AdapterConfig, FileError};
use bone_files::wording::joined;
use burn::tensor::{DType, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

mod complete;
mod merge;
mod naming;
mod of_module;
mod put_on;
mod scan;
mod to_lora;
mod whole;

pub(crate) use complete::uneven;
pub(crate) use naming::Naming;
pub(crate) use scan::Layout;
pub use scan::Scan;
pub use to_lora::{Keep, Lost};
pub(crate) use whole::{lies_in, split};

/// The contents of an adapter file, without the tensors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    /// The adapters; `None` for tuned states.
    pub adapter: Option<AdapterConfig>,
    /// Names of the full parameters, as [`named_weights`](crate::weights::named_weights) returns
    /// them. Beside adapters these may be any parameters, otherwise only the initial state of every
    /// block.
    pub full: BTreeSet<String>,
}

impl From<&AdapterConfig> for Contents {
    /// Describes adapters without full parameters.
    fn from(config: &AdapterConfig) -> Self {
        Self {
            adapter: Some(config.clone()),
            full: BTreeSet::new(),
        }
    }
}

impl From<&Contents> for Contents {
    fn from(contents: &Contents) -> Self {
        contents.clone()
    }
}

/// Returns whether a parameter is the initial state of a block.
///
/// ```
/// assert!(bone::saved::is_state("blocks.0.att.time_state"));
/// ```
pub fn is_state(name: &str) -> bool {
    name.rsplit('.').next() == Some("time_state")
}

/// The values of an adapter and of the full parameters trained beside it.
#[derive(Debug, Clone)]
pub struct SavedAdapter {
    /// The file of its tensors, for messages.
    pub path: PathBuf,
    /// The file of its settings.
    pub settings: PathBuf,
    /// The adapters' settings; `None` for tuned states.
    pub config: Option<AdapterConfig>,
    /// Each adapted layer's tensors in f32, in the order of
    /// [`Variant::shapes`](crate::Variant::shapes).
    pub layers: BTreeMap<String, Vec<TensorData>>,
    /// Full parameters, as values and not differences, in the file's precision.
    pub full: BTreeMap<String, TensorData>,
    /// Ends of paths of modules whose parameters are all in [`full`](Self::full).
    pub(crate) modules: Vec<String>,
    pub(crate) naming: Naming,
}

impl SavedAdapter {
    /// Returns the contents, without the values.
    ///
    /// See the [example](crate::saved).
    pub fn contents(&self) -> Contents {
        Contents {
            adapter: self.config.clone(),
            full: self.full.keys().cloned().collect(),
        }
    }

    /// Returns the number of values.
    ///
    /// See the [example](crate::saved).
    pub fn num_params(&self) -> usize {
        let layers = self.layers.values().flatten();
        let sizes = layers
            .chain(self.full.values())
            .map(TensorData::num_elements);
        sizes.sum()
    }

    /// Returns every tensor in f32 in the files' layout, by its name in a format.
    pub(crate) fn named(&self, naming: Naming) -> BTreeMap<String, TensorData> {
        let names = self
            .config
            .as_ref()
            .map(|config| config.variant.tensor_names());
        let layers = self.layers.iter().flat_map(|(layer, tensors)| {
            let names = names.unwrap_or_default().iter();
            names
                .zip(tensors)
                .map(|(name, data)| (naming.key(layer, name), as_f32(data.clone())))
        });
        let full = self.full.iter();
        let full = full.map(|(name, data)| (naming.full_key(name), as_f32(data.clone())));
        layers.chain(full).collect()
    }

    /// Returns whether its factors belong to the residual of PiSSA or OLoRA instead of the model's
    /// weights.
    ///
    /// See the [example](crate::saved).
    pub fn stands_on_residual(&self) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.variant.method().is_on_residual())
    }

    /// Checks that the adapter does not belong to a residual.
    ///
    /// # Errors
    ///
    /// The adapter belongs to a residual of the model's weights.
    pub(crate) fn check_no_residual(&self) -> Result<(), FileError> {
        match self.stands_on_residual() {
            true => Err(FileError::NotOneAdapter(
                "its method (pissa or olora) also changes the base weights, so converting it needs the \
                 base model"
                    .into(),
            )),
            false => Ok(()),
        }
    }

    /// Checks that all values are finite.
    ///
    /// # Errors
    ///
    /// Lists every tensor that holds a value that is not finite.
    pub(crate) fn check_finite(&self) -> Result<(), FileError> {
        let layers = self.layers.iter().flat_map(|(layer, tensors)| {
            let bad = tensors.iter().any(|data| !is_finite(data));
            bad.then(|| format!("the adapter of {layer} has values that are not finite"))
        });
        let full = self.full.iter().filter(|(_, data)| !is_finite(data));
        let full = full.map(|(name, _)| format!("{name} has values that are not finite"));
        let problems: Vec<_> = layers.chain(full).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(FileError::NotOneAdapter(joined(problems, "; "))),
        }
    }
}

pub(crate) fn as_f32(data: TensorData) -> TensorData {
    data.convert_dtype(DType::F32)
}
