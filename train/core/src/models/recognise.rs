//! Which family a model is of.

use super::{Architecture, GIVE_A_MODEL, ModelError};
use bone_lm::checkpoint::{Checkpoint, CheckpointError};
use bone_lm::{MAX_JSON_BYTES, read_small};
use std::path::Path;

/// The family of the model at `path`: by the `model_type` of a folder's `config.json`, and without
/// one by the names of the tensors of the folder's weights, or of the file that `path` is.
///
/// # Errors
///
/// [`ModelError`] if there is no model, or one of another family.
pub fn architecture(path: &Path) -> Result<Architecture, ModelError> {
    if path.is_file() {
        let checkpoint = Checkpoint::open_file(path)?;
        return by_tensors(path, &checkpoint)?.ok_or_else(|| ModelError::Folder {
            path: path.to_path_buf(),
            reason: "not RWKV6's weights; for a LLaMA2, give the folder of a Hugging Face model"
                .into(),
        });
    }
    if !path.is_dir() {
        return Err(ModelError::Folder {
            path: path.to_path_buf(),
            reason: format!("no such folder or file; {GIVE_A_MODEL}"),
        });
    }
    let config = path.join("config.json");
    let error = |reason: String| ModelError::Folder {
        path: config.clone(),
        reason,
    };
    let Some(bytes) = read_small(&config, MAX_JSON_BYTES).map_err(|e| error(e.to_string()))? else {
        let known = match Checkpoint::open(path) {
            Ok(checkpoint) => by_tensors(path, &checkpoint)?,
            Err(CheckpointError::NoWeights { .. }) => None,
            Err(other) => return Err(other.into()),
        };
        // A run's folder, or one of its checkpoints.
        let inner = path.join("model");
        let fix = match inner.is_dir() {
            true => format!("the model is in {}", inner.display()),
            false => GIVE_A_MODEL.to_owned(),
        };
        return known.ok_or_else(|| error(format!("not found; {fix}")));
    };
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|e| error(format!("not JSON: {e}")))?;
    match value["model_type"].as_str() {
        Some("llama") => Ok(Architecture::Llama2),
        Some("rwkv6") => Ok(Architecture::Rwkv6),
        Some(other) => Err(error(format!(
            "model_type \"{other}\" is not supported; llama and rwkv6 are"
        ))),
        None => Err(error(
            "model_type is missing; llama and rwkv6 are supported".into(),
        )),
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

/// The family whose tensors these are, if it is one that can be told from tensors alone.
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
