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
use std::path::Path;

/// A file that claims more blocks than any model has would have its layers listed without end.
const MAX_LAYERS: usize = 10_000;

/// Every family's own configuration.
#[derive(Debug, Clone)]
enum Sizes {
    Llama2(LlamaConfig),
    Rwkv6(Rwkv6Config),
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

/// What a model is made from.
#[derive(Debug)]
pub struct ModelSource {
    /// What is known of it.
    pub info: ModelInfo,
    sizes: Sizes,
    weights: Weights,
}

/// What a model's weights are made from.
#[derive(Debug)]
enum Weights {
    Files(Checkpoint),
    /// Of a seed.
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

/// Reads the configuration of the model at `path`, which need not have weights.
///
/// # Errors
///
/// [`ModelError`].
pub fn read_config(path: &Path) -> Result<ModelInfo, ModelError> {
    Ok(ModelSource::open(path, Some(0))?.info)
}

impl Recognised {
    /// Reads the sizes, and the headers of the weights.
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

    /// Reads the sizes: a folder's `config.json` has them, else an RWKV6's weights do. Where those are
    /// open, the two must agree.
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
        let (file, layers) = match self {
            Self::Llama2(config) => (path.join("config.json"), config.num_hidden_layers),
            Self::Rwkv6(config) => (path.to_path_buf(), config.num_hidden_layers),
        };
        if layers > MAX_LAYERS {
            let most = format!("no model is deeper than {MAX_LAYERS}");
            let reason = format!("num_hidden_layers is {layers}, and {most}");
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
    /// Opens the model at `path`, for its own weights or for random ones of `seed`.
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

/// A backend that every architecture trains on.
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
    let ModelSource { sizes, weights, .. } = source.into();
    Ok(match (sizes, weights) {
        (Sizes::Llama2(config), Weights::Files(checkpoint)) => {
            let model = Llama::<B>::from_checkpoint(config, &checkpoint, device, dtype)?;
            // What was read of the files counts as this process' memory while they are open.
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

/// Returns random weights in the precision that was asked for.
fn held<B: ModelBackend, M: Module<B>>(
    model: M,
    dtype: Option<FloatDType>,
) -> Result<M, ModelError> {
    // They are drawn in f32, and left alone then: reading them here would make them before their turn.
    let Some(dtype) = dtype.filter(|dtype| *dtype != FloatDType::F32) else {
        return Ok(model);
    };
    let mut dtypes = weights::dtypes::<B, M>(&model);
    dtypes.values_mut().for_each(|held| *held = dtype.into());
    Ok(weights::cast_to::<B, M>(model, &dtypes)?)
}
