//! The architectures: recognising, loading and saving them. The one place that names model crates.

use crate::memory::{ActivationShape, ModelShape};
use crate::step::{TrainBackend, TrainModel};
use bone::BlockAxis;
use bone::weights::{self, Info};
use bone_llama2::{Llama, LlamaConfig, LlamaError};
use bone_lm::Part;
use bone_lm::checkpoint::{Checkpoint, CheckpointError, Dtype, SaveError, burn_dtype};
use bone_rwkv6::{Rwkv6, Rwkv6Config, Rwkv6Error};
use burn::module::Module;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, FloatDType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub mod adapter;
pub mod precision;
mod recognise;
mod save;
mod tiny;

pub use bone_rwkv6::{is_hugging_face, own_path};
pub use recognise::architecture;
pub use save::write_weights;
pub use save::{MAX_SHARD_BYTES, NewFolder, companions, copy_companions, is_partial};
pub use save::{check_free, save_folder};
pub use tiny::{TINY_VOCAB, with_tiny};

/// A file that claims more blocks than any model has would have its layers listed without end.
const MAX_LAYERS: usize = 10_000;

/// What to do about a path that is no model's.
pub(crate) const GIVE_A_MODEL: &str =
    "give the folder of a Hugging Face model, or RWKV's .pth or .safetensors";

/// A model family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// LLaMA2.
    Llama2,
    /// RWKV6 (x060).
    Rwkv6,
}

impl Architecture {
    /// Name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama2 => "LLaMA2",
            Self::Rwkv6 => "RWKV6",
        }
    }

    /// The block axis of its published Bone.
    pub fn block_axis(self) -> BlockAxis {
        match self {
            Self::Llama2 => BlockAxis::Output,
            Self::Rwkv6 => BlockAxis::Input,
        }
    }
}

/// Why a model could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder is not a model's.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What the system says of a folder or file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
    /// A LLaMA could not be made.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// An RWKV6 could not be made.
    #[error(transparent)]
    Rwkv6(#[from] Rwkv6Error),
    /// The weights' files are unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// The parameters of a model: those of its checkpoint by their paths in its module, and the initial
/// states, which files need not have.
pub fn parameters(info: &ModelInfo, checkpoint: &Checkpoint) -> BTreeMap<String, Info> {
    let mut parameters: BTreeMap<String, Info> = info.states.iter().cloned().collect();
    parameters.extend(checkpoint.tensors().map(|(name, tensor)| {
        let dtype = burn_dtype(tensor.dtype).unwrap_or(DType::F32);
        let shape = tensor.shape.clone();
        (own_name(info.architecture, name), Info { shape, dtype })
    }));
    parameters
}

/// The path in its module of the tensor that a checkpoint calls `name`.
pub fn own_name(architecture: Architecture, name: &str) -> String {
    match architecture {
        Architecture::Llama2 => name.to_string(),
        Architecture::Rwkv6 => bone_rwkv6::own_name(name),
    }
}

/// What can be known of a model before its weights are read.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// Its family.
    pub architecture: Architecture,
    /// Its sizes.
    pub shape: ModelShape,
    /// Longest sequence it was made for; `None` where there is no such.
    pub positions: Option<usize>,
    /// Every linear layer: module path, inputs, outputs.
    pub linear_layers: Vec<(String, usize, usize)>,
    /// Parameters of the initial states of all blocks; `None` without a recurrent state.
    pub state_parameters: Option<usize>,
    /// Those states: name, shape and precision of each; none without one.
    pub states: Vec<(String, Info)>,
    /// Parameters of each part it has.
    pub parts: BTreeMap<Part, usize>,
    /// The precision most of its file's weights have; `None` without a file.
    pub stored: Option<Dtype>,
    /// Bytes of its files' tensors.
    pub stored_bytes: usize,
}

impl ModelInfo {
    /// What to say of sequences that are longer than those the model was made for.
    pub fn beyond_positions(&self, max_seq_len: usize) -> Option<String> {
        let positions = self.positions.filter(|most| max_seq_len > *most)?;
        Some(format!(
            "note: max_seq_len {max_seq_len} is beyond the {positions} positions the model was made \
             for"
        ))
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

/// Reads configuration and headers of the model at `path`. `weights` says whether there must be
/// weights.
///
/// # Errors
///
/// [`ModelError`].
pub fn inspect(path: &Path, weights: bool) -> Result<ModelInfo, ModelError> {
    let architecture = architecture(path)?;
    let checkpoint = match weights {
        true => Some(Checkpoint::open_path(path)?),
        false => None,
    };
    let (shape, positions, linear_layers, parts, states) = match architecture {
        Architecture::Llama2 => {
            let llama = LlamaConfig::from_folder(path)?;
            check_depth(&path.join("config.json"), llama.num_hidden_layers)?;
            (
                llama_shape(&llama),
                Some(llama.max_position_embeddings),
                llama.linear_layers(),
                llama.part_params(),
                Vec::new(),
            )
        }
        Architecture::Rwkv6 => {
            let rwkv = match &checkpoint {
                Some(checkpoint) => Rwkv6Config::at(path, checkpoint)?,
                None => rwkv_sizes(path)?,
            };
            check_depth(path, rwkv.num_hidden_layers)?;
            let size = rwkv.head_size;
            let state = |layer| {
                let shape = vec![rwkv.hidden_size / size, size, size];
                let dtype = DType::F32;
                (
                    format!("blocks.{layer}.att.time_state"),
                    Info { shape, dtype },
                )
            };
            (
                rwkv_shape(&rwkv),
                None,
                rwkv.linear_layers(),
                rwkv.part_params(),
                (0..rwkv.num_hidden_layers).map(state).collect(),
            )
        }
    };
    Ok(ModelInfo {
        architecture,
        shape,
        positions,
        linear_layers,
        state_parameters: (!states.is_empty()).then(|| {
            let sizes = states
                .iter()
                .map(|(_, info)| info.shape.iter().product::<usize>());
            sizes.sum()
        }),
        states,
        parts,
        stored: checkpoint.as_ref().and_then(most_common_dtype),
        stored_bytes: checkpoint.as_ref().map_or(0, Checkpoint::total_bytes),
    })
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

fn rwkv_shape(rwkv: &Rwkv6Config) -> ModelShape {
    let (hidden_size, intermediate_size) = (rwkv.hidden_size, rwkv.intermediate_size);
    ModelShape {
        parameters: rwkv.num_params(),
        block_parameters: rwkv.block_params(),
        hidden_size,
        intermediate_size,
        num_layers: rwkv.num_hidden_layers,
        vocab_size: rwkv.vocab_size,
        activations: ActivationShape::rwkv6(hidden_size, intermediate_size, rwkv.head_size),
    }
}

/// The sizes for random weights: a folder's `config.json` has them, else its weights do.
fn rwkv_sizes(path: &Path) -> Result<Rwkv6Config, ModelError> {
    if path.join("config.json").is_file() {
        return Ok(Rwkv6Config::from_folder(path)?);
    }
    let checkpoint = Checkpoint::open_path(path)?;
    Ok(Rwkv6Config::from_checkpoint(&checkpoint)?)
}

fn llama_shape(llama: &LlamaConfig) -> ModelShape {
    let heads = llama.num_attention_heads;
    let hidden_size = llama.hidden_size.max(heads * llama.head_dim);
    ModelShape {
        parameters: llama.num_params(),
        block_parameters: llama.block_params(),
        hidden_size,
        intermediate_size: llama.intermediate_size,
        num_layers: llama.num_hidden_layers,
        vocab_size: llama.vocab_size,
        activations: ActivationShape::llama(hidden_size, llama.intermediate_size, heads),
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

/// What a model is made from.
#[derive(Debug, Clone)]
pub struct ModelSource {
    /// Its folder.
    pub folder: PathBuf,
    /// Precision the weights are held in; `None` keeps the files'.
    pub dtype: Option<FloatDType>,
    /// Start from random weights of this seed.
    pub random: Option<u64>,
}

/// Work on a model of whichever architecture the folder holds.
pub trait WithModel<B: TrainBackend> {
    /// What it gives.
    type Output;

    /// Does the work.
    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output;
}

/// Loads a model and does `work` with it.
///
/// # Errors
///
/// [`ModelError`] if it cannot be loaded.
pub fn with_model<B: ModelBackend, W: WithModel<B>>(
    source: &ModelSource,
    device: &B::Device,
    work: W,
) -> Result<W::Output, ModelError> {
    match architecture(&source.folder)? {
        Architecture::Rwkv6 => {
            let model = match source.random {
                Some(seed) => {
                    let config = rwkv_sizes(&source.folder)?;
                    held::<B, _>(Rwkv6::<B>::random(config, seed, device), source)?
                }
                None => Rwkv6::<B>::from_path(&source.folder, device, source.dtype)?,
            };
            Ok(work.run(model))
        }
        Architecture::Llama2 => {
            let model = match source.random {
                Some(seed) => {
                    let config = LlamaConfig::from_folder(&source.folder)?;
                    held::<B, _>(Llama::<B>::random(config, seed, device), source)?
                }
                None => Llama::<B>::from_folder(&source.folder, device, source.dtype)?,
            };
            Ok(work.run(model))
        }
    }
}

/// Random weights in the precision that `source` asks for.
fn held<B: ModelBackend, M: Module<B>>(model: M, source: &ModelSource) -> Result<M, ModelError> {
    // They are drawn in f32, and left alone then: reading them here would make them before their turn.
    let Some(dtype) = source.dtype.filter(|dtype| *dtype != FloatDType::F32) else {
        return Ok(model);
    };
    let mut dtypes = weights::dtypes::<B, M>(&model);
    dtypes.values_mut().for_each(|held| *held = dtype.into());
    weights::cast_to::<B, M>(model, &dtypes).map_err(|error| ModelError::Folder {
        path: source.folder.clone(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
