use super::config::{naming, to_json};
use super::{CONFIG_FILE, TENSOR_FILE};
use crate::FileError;
use crate::error::io;
use crate::saved::SavedAdapter;
use burn::tensor::TensorData;
use safetensors::{Dtype, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Writes an adapter as the folder `dir`, in f32. It creates `dir` if needed, and records
/// `base_model` as the base model.
///
/// Each file is written beside its final name and renamed, so a folder never holds half a file.
///
/// See the [example](crate::saved).
///
/// # Errors
///
/// [`FileError::NotOneAdapter`] if a value is not finite, or the adapter still belongs to a
/// residual instead of the original base; [`FileError::Io`] from the file system.
pub fn write(saved: &SavedAdapter, base_model: Option<&str>, dir: &Path) -> Result<(), FileError> {
    let files = files(saved, base_model)?;
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    for (name, bytes) in files {
        replace(&dir.join(name), &bytes)?;
    }
    Ok(())
}

/// Returns the files of such a folder: names and contents.
///
/// The [example](crate::saved) writes the same folder with [`write()`].
///
/// # Errors
///
/// [`FileError::NotOneAdapter`], as [`write()`].
pub fn files(
    saved: &SavedAdapter,
    base_model: Option<&str>,
) -> Result<[(&'static str, Vec<u8>); 2], FileError> {
    saved.check_finite()?;
    saved.check_no_residual()?;
    let names = naming(saved.config.as_ref());
    let tensors = safetensors(&saved.named(names), None)?;
    let config = to_json(saved, base_model).into_bytes();
    Ok([(TENSOR_FILE, tensors), (CONFIG_FILE, config)])
}

/// Returns a safetensors file of f32 tensors, with one more entry in its header's metadata.
pub(crate) fn safetensors(
    tensors: &BTreeMap<String, TensorData>,
    said: Option<(String, String)>,
) -> Result<Vec<u8>, FileError> {
    let refused = |reason: String| FileError::NotOneAdapter(reason);
    let views = tensors
        .iter()
        .map(|(name, data)| {
            TensorView::new(Dtype::F32, data.shape.to_vec(), &data.bytes)
                .map(|view| (name.clone(), view))
                .map_err(|error| refused(format!("{name}: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let format = ("format".to_string(), "pt".to_string());
    let metadata: HashMap<_, _> = [format].into_iter().chain(said).collect();
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| refused(format!("the tensors cannot be written: {error}")))
}

/// Writes a file under a temporary name and renames it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).map_err(io(&partial))?;
    std::fs::rename(&partial, path).map_err(io(path))
}
