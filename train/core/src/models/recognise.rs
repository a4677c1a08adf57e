//! Recognizing the family of a model.

use super::error::{GIVE_A_MODEL, ModelError};
use super::info::Architecture;
use bone_lm::checkpoint::{Checkpoint, CheckpointError};
use bone_lm::{MAX_JSON_BYTES, read_small};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A model of known family, with the data read to recognize it.
#[derive(Debug)]
pub struct Recognised {
    /// The family.
    pub architecture: Architecture,
    pub(super) path: PathBuf,
    /// The folder's `config.json`, if it has one.
    pub(super) settings: Option<Value>,
    checkpoint: Option<Checkpoint>,
}

impl Recognised {
    /// Opens the weight files.
    ///
    /// # Errors
    ///
    /// The files do not exist or are damaged.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, ModelError> {
        match self.checkpoint.take() {
            Some(checkpoint) => Ok(checkpoint),
            None => Ok(Checkpoint::open_path(&self.path)?),
        }
    }
}

/// Recognizes the model at `path` by `model_type` in the folder's `config.json`. Without one, it uses the
/// tensor names in the folder's weights or in the file `path`.
///
/// # Errors
///
/// [`ModelError`] if the path has no model, or its family is not supported.
pub fn recognise(path: &Path) -> Result<Recognised, ModelError> {
    if !path.is_file() && !path.is_dir() {
        let reason = format!("file or folder not found; {GIVE_A_MODEL}");
        return Err(ModelError::path(path, reason));
    }
    let config = path.join("config.json");
    let mut settings = None;
    let mut checkpoint = None;
    let found = if path.is_dir()
        && let Some(bytes) = read_small(&config, MAX_JSON_BYTES)
            .map_err(|error| ModelError::path(&config, error.to_string()))?
    {
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| ModelError::path(&config, format!("invalid JSON: {error}")))?;
        let found = by_settings(&value).map_err(|reason| ModelError::path(&config, reason))?;
        settings = Some(value);
        Some(found)
    } else {
        match Checkpoint::open_path(path) {
            Ok(opened) => by_tensors(path, checkpoint.insert(opened))?,
            Err(CheckpointError::NoWeights { .. }) => None,
            Err(other) => return Err(other.into()),
        }
    };
    Ok(Recognised {
        architecture: found.ok_or_else(|| unknown(path))?,
        path: path.to_path_buf(),
        settings,
        checkpoint,
    })
}

/// Returns why a path without usable settings or tensors is not a model.
fn unknown(path: &Path) -> ModelError {
    if path.is_file() {
        let fix = "for LLaMA2, give the Hugging Face folder";
        return ModelError::path(path, format!("not the weights of RWKV6; {fix}"));
    }
    // The path may be a run's folder, or one of its checkpoints.
    let inner = path.join("model");
    let fix = if inner.is_dir() {
        format!("give the folder {}, which has the model", inner.display())
    } else {
        GIVE_A_MODEL.to_owned()
    };
    ModelError::path(&path.join("config.json"), format!("not found; {fix}"))
}

fn by_settings(settings: &Value) -> Result<Architecture, String> {
    match settings["model_type"].as_str() {
        Some("llama") => Ok(Architecture::Llama2),
        Some("rwkv6") => Ok(Architecture::Rwkv6),
        Some(other) => Err(format!(
            "model_type \"{other}\" is not supported; supported: llama, rwkv6"
        )),
        None => Err("model_type is missing; supported: llama, rwkv6".to_owned()),
    }
}

/// Tensors that only one generation of RWKV has, in RWKV's own files and in Hugging Face's.
const RWKV_MARKS: [(&str, &str); 5] = [
    ("blocks.0.att.time_maa_x", "6"),
    ("rwkv.blocks.0.attention.time_maa_x", "6"),
    ("blocks.0.att.time_mix_k", "4 or 5"),
    ("rwkv.blocks.0.attention.time_mix_key", "4 or 5"),
    ("blocks.0.att.x_r", "7"),
];

/// Returns the family with these tensors, if tensors alone can tell it.
fn by_tensors(path: &Path, checkpoint: &Checkpoint) -> Result<Option<Architecture>, ModelError> {
    let mut marks = RWKV_MARKS.iter();
    match marks.find(|(tensor, _)| checkpoint.get(tensor).is_some()) {
        None => Ok(None),
        Some((_, "6")) => Ok(Some(Architecture::Rwkv6)),
        Some((tensor, generation)) => {
            let reason = format!(
                "RWKV{generation} is not supported (found its tensor {tensor}); give a model of RWKV6 (x060)"
            );
            Err(ModelError::path(path, reason))
        }
    }
}
