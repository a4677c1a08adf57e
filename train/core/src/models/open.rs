//! A model that is opened once: its configuration and headers are read, and its weights loaded from
//! what was opened.

use super::error::ModelError;
use super::info::{Architecture, ModelInfo, own_name};
use super::recognise::{Recognised, recognise};
use crate::memory::{ActivationShape, ModelShape};
use crate::step::{TrainBackend, TrainModel};
use bone::weights::{self, Info};
use bone_llama2::{Llama, LlamaConfig};
use bone_lm::checkpoint::{Checkpoint, Dtype, burn_dtype};
use bone_rwkv6::{Rwkv6, Rwkv6Config};
use burn::module::Module;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, FloatDType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file that claims more blocks than any model has would have its layers listed without end.
const MAX_LAYERS: usize = 10_000;

/// Every family's own configuration.
#[derive(Debug, Clone)]
enum Sizes {
    Llama2(LlamaConfig),
    Rwkv6(Rwkv6Config),
}

/// A model of which only the configuration was read.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// What is known of it.
    pub info: ModelInfo,
    path: PathBuf,
    sizes: Sizes,
}

/// A model whose configuration and headers were read, and whose weights were not.
#[derive(Debug)]
pub struct OpenModel {
    /// What is known of it.
    pub info: ModelInfo,
    /// Its files.
    pub checkpoint: Checkpoint,
    sizes: Sizes,
}

/// What a model's weights are made from.
#[derive(Debug)]
pub enum ModelSource {
    /// Its files.
    Files(OpenModel),
    /// A seed.
    Random(ModelConfig, u64),
}

/// Reads the configuration and the headers of the model at `path`.
///
/// # Errors
///
/// [`ModelError`].
pub fn open(path: &Path) -> Result<OpenModel, ModelError> {
    recognise(path)?.open()
}

/// Reads the configuration of the model at `path`, which need not have weights.
///
/// # Errors
///
/// [`ModelError`].
pub fn read_config(path: &Path) -> Result<ModelConfig, ModelError> {
    recognise(path)?.config()
}

impl Recognised {
    /// Reads the sizes, and the headers of the weights.
    ///
    /// # Errors
    ///
    /// [`ModelError`].
    pub fn open(mut self) -> Result<OpenModel, ModelError> {
        let checkpoint = self.checkpoint()?;
        let sizes = match self.architecture {
            Architecture::Llama2 => self.llama()?,
            Architecture::Rwkv6 => {
                let config = Rwkv6Config::from_checkpoint(&checkpoint)?;
                if let Some(settings) = &self.settings {
                    config.agrees_with(&self.path.join("config.json"), settings)?;
                }
                Sizes::Rwkv6(config)
            }
        };
        let info = ModelInfo {
            stored: most_common_dtype(&checkpoint),
            stored_bytes: checkpoint.total_bytes(),
            ..sizes.info(&self.path)?
        };
        Ok(OpenModel {
            info,
            checkpoint,
            sizes,
        })
    }

    /// Reads the sizes: a folder's `config.json` has them, else an RWKV6's weights do.
    fn config(mut self) -> Result<ModelConfig, ModelError> {
        let sizes = match (self.architecture, &self.settings) {
            (Architecture::Llama2, _) => self.llama()?,
            (Architecture::Rwkv6, Some(settings)) => {
                let path = self.path.join("config.json");
                Sizes::Rwkv6(Rwkv6Config::from_json(&path, settings.clone())?)
            }
            (Architecture::Rwkv6, None) => {
                Sizes::Rwkv6(Rwkv6Config::from_checkpoint(&self.checkpoint()?)?)
            }
        };
        Ok(ModelConfig {
            info: sizes.info(&self.path)?,
            path: self.path,
            sizes,
        })
    }

    fn llama(&self) -> Result<Sizes, ModelError> {
        let settings = self.settings.clone().unwrap_or_default();
        let config = LlamaConfig::from_json(&self.path.join("config.json"), settings)?;
        Ok(Sizes::Llama2(config))
    }
}

impl OpenModel {
    /// Returns the parameters of the model: those of its checkpoint by their paths in its module, and
    /// the initial states, which files need not have.
    pub fn parameters(&self) -> BTreeMap<String, Info> {
        let mut parameters: BTreeMap<String, Info> = self.info.states.iter().cloned().collect();
        parameters.extend(self.checkpoint.tensors().map(|(name, tensor)| {
            let dtype = burn_dtype(tensor.dtype).unwrap_or(DType::F32);
            let shape = tensor.shape.clone();
            let name = own_name(self.info.architecture, name);
            (name, Info { shape, dtype })
        }));
        parameters
    }
}

impl Sizes {
    fn info(&self, path: &Path) -> Result<ModelInfo, ModelError> {
        match self {
            Self::Llama2(config) => {
                check_depth(&path.join("config.json"), config.num_hidden_layers)?;
                Ok(llama_info(config))
            }
            Self::Rwkv6(config) => {
                check_depth(path, config.num_hidden_layers)?;
                Ok(rwkv_info(config))
            }
        }
    }
}

fn check_depth(path: &Path, layers: usize) -> Result<(), ModelError> {
    if layers <= MAX_LAYERS {
        return Ok(());
    }
    Err(ModelError::Folder {
        path: path.to_path_buf(),
        reason: format!("num_hidden_layers is {layers}, and no model is deeper than {MAX_LAYERS}"),
    })
}

fn llama_info(llama: &LlamaConfig) -> ModelInfo {
    let heads = llama.num_attention_heads;
    let hidden_size = llama.hidden_size.max(heads * llama.head_dim);
    ModelInfo {
        architecture: Architecture::Llama2,
        shape: ModelShape {
            parameters: llama.num_params(),
            block_parameters: llama.block_params(),
            hidden_size,
            intermediate_size: llama.intermediate_size,
            num_layers: llama.num_hidden_layers,
            vocab_size: llama.vocab_size,
            activations: ActivationShape::llama(hidden_size, llama.intermediate_size, heads),
        },
        positions: Some(llama.max_position_embeddings),
        linear_layers: llama.linear_layers(),
        state_parameters: None,
        states: Vec::new(),
        parts: llama.part_params(),
        stored: None,
        stored_bytes: 0,
    }
}

fn rwkv_info(rwkv: &Rwkv6Config) -> ModelInfo {
    let (hidden_size, size) = (rwkv.hidden_size, rwkv.head_size);
    let state = |layer| {
        let info = Info {
            shape: vec![hidden_size / size, size, size],
            dtype: DType::F32,
        };
        (format!("blocks.{layer}.att.time_state"), info)
    };
    ModelInfo {
        architecture: Architecture::Rwkv6,
        shape: ModelShape {
            parameters: rwkv.num_params(),
            block_parameters: rwkv.block_params(),
            hidden_size,
            intermediate_size: rwkv.intermediate_size,
            num_layers: rwkv.num_hidden_layers,
            vocab_size: rwkv.vocab_size,
            activations: ActivationShape::rwkv6(hidden_size, rwkv.intermediate_size, size),
        },
        positions: None,
        linear_layers: rwkv.linear_layers(),
        state_parameters: Some(rwkv.num_hidden_layers * hidden_size * size),
        states: (0..rwkv.num_hidden_layers).map(state).collect(),
        parts: rwkv.part_params(),
        stored: None,
        stored_bytes: 0,
    }
}

fn most_common_dtype(checkpoint: &Checkpoint) -> Option<Dtype> {
    let mut bytes: Vec<(Dtype, usize)> = Vec::new();
    for (_, info) in checkpoint.tensors() {
        match bytes.iter_mut().find(|(dtype, _)| *dtype == info.dtype) {
            Some((_, sum)) => *sum += info.bytes,
            None => bytes.push((info.dtype, info.bytes)),
        }
    }
    bytes
        .into_iter()
        .max_by_key(|(_, sum)| *sum)
        .map(|(dtype, _)| dtype)
}

impl ModelSource {
    /// Opens the model at `path`, for its own weights or for random ones of `seed`.
    ///
    /// # Errors
    ///
    /// [`ModelError`].
    pub fn open(path: &Path, seed: Option<u64>) -> Result<Self, ModelError> {
        Ok(match seed {
            None => Self::Files(open(path)?),
            Some(seed) => Self::Random(read_config(path)?, seed),
        })
    }

    /// Returns what is known of the model.
    pub fn info(&self) -> &ModelInfo {
        match self {
            Self::Files(model) => &model.info,
            Self::Random(model, _) => &model.info,
        }
    }
}

impl From<OpenModel> for ModelSource {
    fn from(model: OpenModel) -> Self {
        Self::Files(model)
    }
}

/// A backend that every architecture trains on.
pub trait ModelBackend:
    TrainBackend + bone_rwkv6::Backend + AutodiffBackend<InnerBackend: bone_rwkv6::Backend>
{
}

impl<B> ModelBackend for B where
    B: TrainBackend + bone_rwkv6::Backend + AutodiffBackend<InnerBackend: bone_rwkv6::Backend>
{
}

/// Work on a model of whichever architecture a path holds.
pub trait WithModel<B: TrainBackend> {
    /// What it gives.
    type Output;

    /// Does the work.
    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output;
}

/// Loads a model and does `work` with it. `dtype` is the precision the weights are held in; `None`
/// keeps the files'.
///
/// # Errors
///
/// [`ModelError`] if it cannot be loaded.
pub fn with_model<B: ModelBackend, W: WithModel<B>>(
    source: impl Into<ModelSource>,
    dtype: Option<FloatDType>,
    device: &B::Device,
    work: W,
) -> Result<W::Output, ModelError> {
    match source.into() {
        ModelSource::Files(OpenModel {
            checkpoint, sizes, ..
        }) => match sizes {
            Sizes::Llama2(config) => {
                let model = Llama::<B>::from_checkpoint(config, &checkpoint, device, dtype)?;
                // What was read of the files counts as this process' memory while they are open.
                drop(checkpoint);
                Ok(work.run(model))
            }
            Sizes::Rwkv6(_) => {
                let model = Rwkv6::<B>::from_checkpoint(&checkpoint, device, dtype)?;
                drop(checkpoint);
                Ok(work.run(model))
            }
        },
        ModelSource::Random(ModelConfig { path, sizes, .. }, seed) => match sizes {
            Sizes::Llama2(config) => {
                let model = Llama::<B>::random(config, seed, device);
                Ok(work.run(held::<B, _>(model, dtype, &path)?))
            }
            Sizes::Rwkv6(config) => {
                let model = Rwkv6::<B>::random(config, seed, device);
                Ok(work.run(held::<B, _>(model, dtype, &path)?))
            }
        },
    }
}

/// Returns random weights in the precision that was asked for.
fn held<B: ModelBackend, M: Module<B>>(
    model: M,
    dtype: Option<FloatDType>,
    path: &Path,
) -> Result<M, ModelError> {
    // They are drawn in f32, and left alone then: reading them here would make them before their turn.
    let Some(dtype) = dtype.filter(|dtype| *dtype != FloatDType::F32) else {
        return Ok(model);
    };
    let mut dtypes = weights::dtypes::<B, M>(&model);
    dtypes.values_mut().for_each(|held| *held = dtype.into());
    weights::cast_to::<B, M>(model, &dtypes).map_err(|error| ModelError::Folder {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })
}
