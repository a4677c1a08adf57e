//! Opening a model once: reading its configuration and headers, then loading the weights from the open
//! files.

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
use std::path::Path;

/// Limit on the number of blocks. A hostile file could claim more and make the list of layers endless.
const MAX_LAYERS: usize = 10_000;

/// The configuration of each family.
#[derive(Debug, Clone)]
enum Sizes {
    Llama2(LlamaConfig),
    Rwkv6(Rwkv6Config),
}

/// A model with its configuration and headers read, but not its weights.
#[derive(Debug)]
pub struct OpenModel {
    /// Known facts about it.
    pub info: ModelInfo,
    /// Its files.
    pub checkpoint: Checkpoint,
    sizes: Sizes,
}

/// The source of a model.
#[derive(Debug)]
pub struct ModelSource {
    /// Known facts about it.
    pub info: ModelInfo,
    sizes: Sizes,
    weights: Weights,
}

/// The source of a model's weights.
#[derive(Debug)]
enum Weights {
    Files(Checkpoint),
    /// Random, from a seed.
    Random(u64),
}

/// Reads the configuration and the headers of the model at `path`.
///
/// # Errors
///
/// [`ModelError`].
pub fn open(path: &Path) -> Result<OpenModel, ModelError> {
    recognise(path)?.open()
}

/// Reads the configuration of the model at `path`. It may lack weights.
///
/// # Errors
///
/// [`ModelError`].
pub fn read_config(path: &Path) -> Result<ModelInfo, ModelError> {
    Ok(ModelSource::open(path, Some(0))?.info)
}

impl Recognised {
    /// Reads the sizes and the headers of the weights.
    ///
    /// # Errors
    ///
    /// [`ModelError`].
    pub fn open(mut self) -> Result<OpenModel, ModelError> {
        let checkpoint = self.checkpoint()?;
        let sizes = self.sizes(Some(&checkpoint))?;
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

    /// Reads the sizes from the folder's `config.json`, or else from the weights of an RWKV6. If the
    /// weights are open, both must agree.
    fn sizes(&mut self, checkpoint: Option<&Checkpoint>) -> Result<Sizes, ModelError> {
        let config = self.path.join("config.json");
        let settings = self.settings.take();
        if self.architecture == Architecture::Llama2 {
            let settings = settings.unwrap_or_default();
            return Ok(Sizes::Llama2(LlamaConfig::from_json(&config, settings)?));
        }
        let sizes = match (settings, checkpoint) {
            (Some(settings), None) => Rwkv6Config::from_json(&config, settings)?,
            (None, None) => Rwkv6Config::from_checkpoint(&self.checkpoint()?)?,
            (settings, Some(checkpoint)) => {
                let sizes = Rwkv6Config::from_checkpoint(checkpoint)?;
                if let Some(settings) = settings {
                    sizes.agrees_with(&config, &settings)?;
                }
                sizes
            }
        };
        Ok(Sizes::Rwkv6(sizes))
    }
}

impl OpenModel {
    /// Returns the parameters of the model: those of its checkpoint by module path, and the initial states,
    /// which the files may lack.
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
        let (file, layers) = match self {
            Self::Llama2(config) => (path.join("config.json"), config.num_hidden_layers),
            Self::Rwkv6(config) => (path.to_path_buf(), config.num_hidden_layers),
        };
        if layers > MAX_LAYERS {
            let most = format!("at most {MAX_LAYERS} are supported");
            let reason = format!("num_hidden_layers is {layers}, but {most}");
            return Err(ModelError::path(&file, reason));
        }
        Ok(match self {
            Self::Llama2(config) => llama_info(config),
            Self::Rwkv6(config) => rwkv_info(config),
        })
    }
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
        states: (0..rwkv.num_hidden_layers).map(state).collect(),
        parts: rwkv.part_params(),
        stored: None,
        stored_bytes: 0,
    }
}

fn most_common_dtype(checkpoint: &Checkpoint) -> Option<Dtype> {
    let mut bytes = BTreeMap::<Dtype, usize>::new();
    for (_, info) in checkpoint.tensors() {
        *bytes.entry(info.dtype).or_default() += info.bytes;
    }
    let most = bytes.into_iter().max_by_key(|(_, sum)| *sum)?;
    Some(most.0)
}

impl ModelSource {
    /// Opens the model at `path`, with its own weights or with random weights from `seed`.
    ///
    /// # Errors
    ///
    /// [`ModelError`].
    pub fn open(path: &Path, seed: Option<u64>) -> Result<Self, ModelError> {
        let Some(seed) = seed else {
            return Ok(open(path)?.into());
        };
        let sizes = recognise(path)?.sizes(None)?;
        Ok(Self {
            info: sizes.info(path)?,
            sizes,
            weights: Weights::Random(seed),
        })
    }
}

impl From<OpenModel> for ModelSource {
    fn from(model: OpenModel) -> Self {
        Self {
            info: model.info,
            sizes: model.sizes,
            weights: Weights::Files(model.checkpoint),
        }
    }
}

/// A backend that can train every architecture.
pub trait ModelBackend:
    TrainBackend + bone_rwkv6::Backend + AutodiffBackend<InnerBackend: bone_rwkv6::Backend>
{
}

impl<B> ModelBackend for B where
    B: TrainBackend + bone_rwkv6::Backend + AutodiffBackend<InnerBackend: bone_rwkv6::Backend>
{
}

impl<B: TrainBackend> TrainModel<B> for Llama<B> {
    type Inner = Llama<B::InnerBackend>;
}

impl<B: ModelBackend> TrainModel<B> for Rwkv6<B> {
    type Inner = Rwkv6<B::InnerBackend>;
}

/// Work on a model of any architecture.
pub trait WithModel<B: TrainBackend> {
    /// Its result.
    type Output;

    /// Does the work.
    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output;
}

/// Loads a model and does `work` with it. `dtype` is the precision of the weights; `None` keeps the files'
/// precision.
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
    let ModelSource { sizes, weights, .. } = source.into();
    Ok(match (sizes, weights) {
        (Sizes::Llama2(config), Weights::Files(checkpoint)) => {
            let model = Llama::<B>::from_checkpoint(config, &checkpoint, device, dtype)?;
            // Open files count as memory of this process.
            drop(checkpoint);
            work.run(model)
        }
        (Sizes::Rwkv6(_), Weights::Files(checkpoint)) => {
            let model = Rwkv6::<B>::from_checkpoint(&checkpoint, device, dtype)?;
            drop(checkpoint);
            work.run(model)
        }
        (Sizes::Llama2(config), Weights::Random(seed)) => {
            let model = Llama::<B>::random(config, seed, device);
            work.run(held::<B, _>(model, dtype)?)
        }
        (Sizes::Rwkv6(config), Weights::Random(seed)) => {
            let model = Rwkv6::<B>::random(config, seed, device);
            work.run(held::<B, _>(model, dtype)?)
        }
    })
}

/// Returns random weights in the requested precision.
fn held<B: ModelBackend, M: Module<B>>(
    model: M,
    dtype: Option<FloatDType>,
) -> Result<M, ModelError> {
    // Random weights are drawn in f32 and left lazy: reading them here would draw them too early.
    let Some(dtype) = dtype.filter(|dtype| *dtype != FloatDType::F32) else {
        return Ok(model);
    };
    let mut dtypes = weights::dtypes::<B, M>(&model);
    dtypes.values_mut().for_each(|held| *held = dtype.into());
    Ok(weights::cast_to::<B, M>(model, &dtypes)?)
}
