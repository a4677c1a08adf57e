//! Writing a model as a separate folder.

use super::error::ModelError;
use super::info::Architecture;
use super::recognise::recognise;
use bone_lm::checkpoint::{self, Problem};
use bone_rwkv6::Names;
use bone_tokenizer as tokenizer;
use burn::tensor::{DType, TensorData};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Larger weights are split into several files, as Hugging Face does.
pub const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// Files of a model folder that are copied when a changed model is saved.
const COMPANIONS: [&str; 10] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    bone_data::PROMPT_FILE,
];

/// Checks that `folder` does not exist or is empty.
///
/// # Errors
///
/// [`ModelError::Path`].
pub fn check_free(folder: &Path) -> Result<(), ModelError> {
    let reason = if folder.exists() && !folder.is_dir() {
        "is a file; give a new folder"
    } else if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        "is not empty; give a new folder"
    } else {
        return Ok(());
    };
    Err(ModelError::path(folder, reason))
}

/// Separator between the folder's name and the process id in the temporary name.
const PARTIAL: &str = ".partial-";

/// A folder that is filled under a temporary name and removed unless it is finished. So an incomplete model
/// never looks complete.
#[derive(Debug)]
pub struct NewFolder {
    partial: PathBuf,
    folder: PathBuf,
}

impl NewFolder {
    /// Starts `folder`, which must not exist or must be empty.
    ///
    /// # Errors
    ///
    /// [`ModelError::Path`] if it exists and is not empty, or [`ModelError::Io`].
    pub fn create(folder: &Path) -> Result<Self, ModelError> {
        check_free(folder)?;
        Self::beside(folder)
    }

    /// Starts a folder that will replace `folder`.
    ///
    /// # Errors
    ///
    /// [`ModelError::Io`].
    pub fn beside(folder: &Path) -> Result<Self, ModelError> {
        // Rebuilding the path from its components drops a final slash.
        let mut partial = folder.components().collect::<PathBuf>().into_os_string();
        partial.push(format!("{PARTIAL}{}", std::process::id()));
        let partial = PathBuf::from(partial);
        if let Some(parent) = partial.parent() {
            std::fs::create_dir_all(parent).map_err(io(parent))?;
        }
        std::fs::create_dir(&partial).map_err(io(&partial))?;
        Ok(Self {
            partial,
            folder: folder.to_path_buf(),
        })
    }

    /// Returns the temporary folder for the files.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Renames the folder to its final name.
    ///
    /// # Errors
    ///
    /// [`ModelError::Io`]: the name is in use by now.
    pub fn finish(self) -> Result<(), ModelError> {
        if self.folder.exists() {
            std::fs::remove_dir(&self.folder).map_err(io(&self.folder))?;
        }
        std::fs::rename(&self.partial, &self.folder).map_err(io(&self.folder))
    }

    /// Renames the folder to its final name. Renames an existing one to `old` first, then removes it.
    ///
    /// # Errors
    ///
    /// [`ModelError::Io`].
    pub fn replace(self, old: &Path) -> Result<(), ModelError> {
        let remove = || {
            if old.exists() {
                std::fs::remove_dir_all(old).map_err(io(old))?;
            }
            Ok(())
        };
        if self.folder.exists() {
            remove()?;
            std::fs::rename(&self.folder, old).map_err(io(&self.folder))?;
        }
        std::fs::rename(&self.partial, &self.folder).map_err(io(&self.folder))?;
        remove()
    }
}

/// Returns whether `name` is a temporary name for the folder `of`.
pub fn is_partial(name: &str, of: &str) -> bool {
    let rest = name.strip_prefix(of);
    let process = rest.and_then(|rest| rest.strip_prefix(PARTIAL));
    process.is_some_and(|process| process.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // After a rename nothing has this name. An error here could only hide an earlier one.
        let _ = std::fs::remove_dir_all(&self.partial);
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError + '_ {
    move |source| ModelError::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// Writes weights, named by module path, into an empty `folder` as safetensors. Uses the tensor names,
/// configuration and tokenizer of the model at `from`.
///
/// # Errors
///
/// [`ModelError`].
pub fn write_weights(
    weights: impl Iterator<Item = (String, TensorData)>,
    from: &Path,
    folder: &Path,
) -> Result<(), ModelError> {
    let names = names(from)?;
    let mut stored = None;
    let weights = weights
        .inspect(|(_, data)| stored = Some(data.dtype))
        .map(|(name, data)| (names.of(&name), data));
    checkpoint::save(folder, weights, MAX_SHARD_BYTES, BTreeMap::new())?;
    copy_companions(from, folder, stored)
}

/// Returns the files beside the weights of the model at `from`: name, and real path.
///
/// # Errors
///
/// [`ModelError::Path`] lists all links that lead out of the folder.
pub fn companions(from: &Path) -> Result<Vec<(String, PathBuf)>, ModelError> {
    // The model is one file, so the files beside it are used.
    let beside = match from.parent() {
        Some(parent) if from.is_file() => &Path::new(".").join(parent),
        _ => from,
    };
    let (mut found, mut elsewhere) = (Vec::new(), Vec::new());
    let vocabularies = tokenizer::companions(beside).into_iter();
    let names = COMPANIONS.iter().map(ToString::to_string);
    for name in names.chain(vocabularies) {
        match checkpoint::resolve(beside, &name).map_err(io(&beside.join(&name)))? {
            Ok(real) => found.push((name, real)),
            Err(Problem::Missing) => {}
            Err(problem) => elsewhere.push(format!("{name} {problem}")),
        }
    }
    if elsewhere.is_empty() {
        Ok(found)
    } else {
        Err(ModelError::path(beside, elsewhere.join("; ")))
    }
}

/// Copies the files beside the weights of the model at `from` to `folder`, whose weights have the type
/// `stored`.
///
/// # Errors
///
/// Like [`companions`], or from the file system.
pub fn copy_companions(
    from: &Path,
    folder: &Path,
    stored: Option<DType>,
) -> Result<(), ModelError> {
    for (name, source) in companions(from)? {
        // `fs::copy` would keep a read-only file read-only.
        let bytes = std::fs::read(&source).map_err(io(&source))?;
        let bytes = match name.as_str() {
            "config.json" => with_dtype(bytes, stored),
            _ => bytes,
        };
        let target = folder.join(name);
        std::fs::write(&target, bytes).map_err(io(&target))?;
    }
    Ok(())
}

/// Sets the precision in the configuration to that of the written weights, if it names one. Leaves an
/// unexpected file unchanged: the model was loaded with it.
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
    let before = value.clone();
    for key in ["torch_dtype", "dtype"] {
        if let Some(dtype) = value.get_mut(key) {
            *dtype = name.into();
        }
    }
    if value == before {
        return config;
    }
    format!("{value:#}\n").into_bytes()
}

/// Returns the naming scheme of the tensors of the model at `from`. Module paths are the names, except for
/// an RWKV6 of Hugging Face's remote code.
fn names(from: &Path) -> Result<Names, ModelError> {
    let mut known = recognise(from)?;
    if known.architecture != Architecture::Rwkv6 {
        return Ok(Names::Rwkv);
    }
    // A model with random weights has no checkpoint.
    let checkpoint = known.checkpoint();
    Ok(checkpoint.map_or(Names::Rwkv, |checkpoint| Names::used_in(&checkpoint)))
}
