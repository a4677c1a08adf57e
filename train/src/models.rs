//! The architectures: recognising, loading and saving them. The one place that names model crates.

use crate::step::{TrainBackend, TrainModel};
use bone_llama2::{Llama, LlamaConfig, LlamaError};
use bone_lm::checkpoint::{self, Checkpoint, CheckpointError, Dtype, SaveError};
use bone_lm::{Backend, CausalLm, MAX_JSON_BYTES, named_weights, read_small};
use burn::tensor::{DType, FloatDType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Weights above this go to several files, as Hugging Face does.
const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// Files of a model folder that go along when a changed model is saved.
const COMPANIONS: [&str; 7] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// A model family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// LLaMA2.
    Llama2,
}

impl Architecture {
    /// Name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama2 => "LLaMA2",
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
    /// A LLaMA could not be made.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// The weights' files are unusable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights could not be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// What can be known of a model before its weights are read.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// Its family.
    pub architecture: Architecture,
    /// Its dimensions.
    pub llama: LlamaConfig,
    /// The precision most of its file's weights have; `None` without a file.
    pub stored: Option<Dtype>,
    /// Bytes of its files' tensors.
    pub stored_bytes: usize,
}

/// Reads configuration and headers in `folder`. `weights` says whether there must be weights.
///
/// # Errors
///
/// [`ModelError`].
pub fn inspect(folder: &Path, weights: bool) -> Result<ModelInfo, ModelError> {
    let architecture = recognise(folder)?;
    let llama = LlamaConfig::from_folder(folder)?;
    let (stored, stored_bytes) = if weights {
        let checkpoint = Checkpoint::open(folder)?;
        (most_common_dtype(&checkpoint), checkpoint.total_bytes())
    } else {
        (None, 0)
    };
    Ok(ModelInfo {
        architecture,
        llama,
        stored,
        stored_bytes,
    })
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

fn recognise(folder: &Path) -> Result<Architecture, ModelError> {
    let path = folder.join("config.json");
    let error = |reason: String| ModelError::Folder {
        path: path.clone(),
        reason,
    };
    if !folder.is_dir() {
        return Err(ModelError::Folder {
            path: folder.to_path_buf(),
            reason: "no such folder; give the folder of a Hugging Face model".into(),
        });
    }
    let bytes = read_small(&path, MAX_JSON_BYTES)
        .map_err(|e| error(e.to_string()))?
        .ok_or_else(|| error("not found; give the folder of a Hugging Face model".into()))?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| error(format!("not JSON: {e}")))?;
    match value["model_type"].as_str() {
        Some("llama") => Ok(Architecture::Llama2),
        Some(other) => Err(error(format!(
            "model_type \"{other}\" is not supported; llama is"
        ))),
        None => Err(error("model_type is missing; llama is supported".into())),
    }
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
pub fn with_model<B: TrainBackend, W: WithModel<B>>(
    source: &ModelSource,
    device: &B::Device,
    work: W,
) -> Result<W::Output, ModelError> {
    match recognise(&source.folder)? {
        Architecture::Llama2 => {
            let model = match source.random {
                Some(seed) => {
                    let config = LlamaConfig::from_folder(&source.folder)?;
                    Llama::<B>::random(config, seed, device)
                }
                None => Llama::<B>::from_folder(&source.folder, device, source.dtype)?,
            };
            Ok(work.run(model))
        }
    }
}

/// Checks that `folder` does not exist or is empty.
///
/// # Errors
///
/// [`ModelError::Folder`].
pub fn check_free(folder: &Path) -> Result<(), ModelError> {
    if folder.exists() && !folder.is_dir() {
        return Err(ModelError::Folder {
            path: folder.to_path_buf(),
            reason: "is a file; name a new folder".into(),
        });
    }
    let is_empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty {
        return Err(ModelError::Folder {
            path: folder.to_path_buf(),
            reason: "already has files in it; name a new folder".into(),
        });
    }
    Ok(())
}

/// Writes `model` to `folder` as a Hugging Face folder, configuration and tokenizer taken from
/// `from`. The folder is left as it was if anything fails.
///
/// # Errors
///
/// [`ModelError`]; an existing folder with something in it is refused.
pub fn save_folder<B: Backend, M: CausalLm<B>>(
    model: &M,
    from: &Path,
    folder: &Path,
) -> Result<(), ModelError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |error: std::io::Error| ModelError::Folder {
            path,
            reason: error.to_string(),
        }
    };
    check_free(folder)?;
    // Written under another name and renamed, so that half a model never looks like one.
    // Collected again from its components, which end without a slash.
    let mut partial = folder.components().collect::<PathBuf>().into_os_string();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(partial);
    if let Some(parent) = partial.parent() {
        std::fs::create_dir_all(parent).map_err(io(parent))?;
    }
    std::fs::create_dir(&partial).map_err(io(&partial))?;
    let outcome = (|| {
        let mut stored = None;
        let weights = named_weights(model).inspect(|(_, data)| stored = Some(data.dtype));
        checkpoint::save(&partial, weights, MAX_SHARD_BYTES, BTreeMap::new())?;
        for name in COMPANIONS {
            let source = from.join(name);
            if source.is_file() {
                // Not `copy`, which keeps a read-only file read-only.
                let bytes = std::fs::read(&source).map_err(io(&source))?;
                let bytes = match name {
                    "config.json" => with_dtype(bytes, stored),
                    _ => bytes,
                };
                let target = partial.join(name);
                std::fs::write(&target, bytes).map_err(io(&target))?;
            }
        }
        if folder.exists() {
            std::fs::remove_dir(folder).map_err(io(folder))?;
        }
        std::fs::rename(&partial, folder).map_err(io(folder))
    })();
    if outcome.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_dir_all(&partial);
    }
    outcome
}

/// The configuration naming the precision the weights are written in, where it names one. A file
/// that is not what it should be stays as it is: the model was loaded with it.
fn with_dtype(config: Vec<u8>, stored: Option<DType>) -> Vec<u8> {
    let name = match stored {
        Some(DType::F32) => "float32",
        Some(DType::F16) => "float16",
        Some(DType::BF16) => "bfloat16",
        _ => return config,
    };
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&config) else {
        return config;
    };
    let mut changed = false;
    for key in ["torch_dtype", "dtype"] {
        if let Some(dtype) = value.get_mut(key)
            && *dtype != name
        {
            *dtype = name.into();
            changed = true;
        }
    }
    if !changed {
        return config;
    }
    format!("{value:#}\n").into_bytes()
}
