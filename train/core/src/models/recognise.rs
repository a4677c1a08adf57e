//! Which family a model is of.

use super::error::{GIVE_A_MODEL, ModelError};
use super::info::Architecture;
use bone_lm::checkpoint::{Checkpoint, CheckpointError};
use bone_lm::{MAX_JSON_BYTES, read_small};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A model whose family is known, with what was read to know it.
#[derive(Debug)]
pub struct Recognised {
    /// The family.
    pub architecture: Architecture,
    pub(super) path: PathBuf,
    /// The `config.json` of a folder that has one.
    pub(super) settings: Option<Value>,
    checkpoint: Option<Checkpoint>,
}

impl Recognised {
    /// Returns the weights' files, opened.
    ///
    /// # Errors
    ///
    /// There are none, or they are broken.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, ModelError> {
        match self.checkpoint.take() {
            Some(checkpoint) => Ok(checkpoint),
            None => Ok(Checkpoint::open_path(&self.path)?),
        }
    }
}

/// Recognises the model at `path`: by the `model_type` of a folder's `config.json`, and without one
/// by the names of the tensors of the folder's weights, or of the file that `path` is.
///
/// # Errors
///
/// [`ModelError`] if there is no model, or one of another family.
pub fn recognise(path: &Path) -> Result<Recognised, ModelError> {
    let known = |architecture, settings, checkpoint| Recognised {
        architecture,
        path: path.to_path_buf(),
        settings,
        checkpoint,
    };
    let folder_error = |path: &Path, reason: String| ModelError::Folder {
        path: path.to_path_buf(),
        reason,
    };
    if path.is_file() {
        let checkpoint = Checkpoint::open_file(path)?;
        let architecture = by_tensors(path, &checkpoint)?.ok_or_else(|| {
            let reason =
                "not RWKV6's weights; for a LLaMA2, give the folder of a Hugging Face model";
            folder_error(path, reason.into())
        })?;
        return Ok(known(architecture, None, Some(checkpoint)));
    }
    if !path.is_dir() {
        let reason = format!("no such folder or file; {GIVE_A_MODEL}");
        return Err(folder_error(path, reason));
    }
    let config = path.join("config.json");
    let error = |reason: String| folder_error(&config, reason);
    let Some(bytes) = read_small(&config, MAX_JSON_BYTES).map_err(|e| error(e.to_string()))? else {
        match Checkpoint::open(path) {
            Ok(checkpoint) => {
                if let Some(architecture) = by_tensors(path, &checkpoint)? {
                    return Ok(known(architecture, None, Some(checkpoint)));
                }
            }
            Err(CheckpointError::NoWeights { .. }) => {}
            Err(other) => return Err(other.into()),
        }
        // A run's folder, or one of its checkpoints.
        let inner = path.join("model");
        let fix = if inner.is_dir() {
            format!("the model is in {}", inner.display())
        } else {
            GIVE_A_MODEL.to_owned()
        };
        return Err(error(format!("not found; {fix}")));
    };
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|e| error(format!("not JSON: {e}")))?;
    let architecture = match value["model_type"].as_str() {
        Some("llama") => Architecture::Llama2,
        Some("rwkv6") => Architecture::Rwkv6,
        Some(other) => {
            return Err(error(format!(
                "model_type \"{other}\" is not supported; llama and rwkv6 are"
            )));
        }
        None => {
            let reason = "model_type is missing; llama and rwkv6 are supported";
            return Err(error(reason.into()));
        }
    };
    Ok(known(architecture, Some(value), None))
}

/// Tensors that only one generation of RWKV has, in RWKV's own files and in Hugging Face's.
const RWKV_MARKS: [(&str, &str); 5] = [
    ("blocks.0.att.time_maa_x", "6"),
    ("rwkv.blocks.0.attention.time_maa_x", "6"),
    ("blocks.0.att.time_mix_k", "4 or 5"),
    ("rwkv.blocks.0.attention.time_mix_key", "4 or 5"),
    ("blocks.0.att.x_r", "7"),
];

/// Returns the family whose tensors these are, if it is one that can be told from tensors alone.
fn by_tensors(path: &Path, checkpoint: &Checkpoint) -> Result<Option<Architecture>, ModelError> {
    let mark = RWKV_MARKS
        .iter()
        .find(|(tensor, _)| checkpoint.get(tensor).is_some());
    match mark {
        None => Ok(None),
        Some((_, "6")) => Ok(Some(Architecture::Rwkv6)),
        Some((tensor, generation)) => Err(ModelError::Folder {
            path: path.to_path_buf(),
            reason: format!(
                "the weights of an RWKV{generation} (they have {tensor}); of RWKV only RWKV6 \
                 (x060) is supported"
            ),
        }),
    }
}
