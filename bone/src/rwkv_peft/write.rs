use super::{Kind, VARIANT_KEY};
use crate::saved::{Naming, SavedAdapter};
use crate::{BlockAxis, FileError};
use bone_files::{save_pth, wording::joined};
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes an adapter in `torch.save`'s format, with RWKV-PEFT's names, in f32.
///
/// See the [example](crate::rwkv_peft).
///
/// # Errors
///
/// [`FileError::NotOneAdapter`] if the format cannot hold it, or a reader would take it for another
/// variant. Bone on the output axis has the form `[out, r]` there, which is ambiguous if `out = r`.
pub fn write_pth(saved: &SavedAdapter, path: &Path) -> Result<(), FileError> {
    let tensors = tensors(saved, true)?;
    save_pth(path, &tensors).map_err(|error| FileError::Format {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })
}

/// Writes an adapter as safetensors, with RWKV-PEFT's names, in f32. The header names the variant.
///
/// See the [example](crate::rwkv_peft).
///
/// # Errors
///
/// [`FileError::NotOneAdapter`] if RWKV-PEFT has no names for it.
pub fn write_safetensors(saved: &SavedAdapter, path: &Path) -> Result<(), FileError> {
    let tensors = tensors(saved, false)?;
    let said = saved.config.as_ref().map(|config| {
        let name = config.variant.name().to_string();
        (VARIANT_KEY.to_string(), name)
    });
    let bytes = crate::peft::safetensors(&tensors, said)?;
    crate::peft::replace(path, &bytes)
}

/// Returns the tensors by name; bone on the output axis `flat`, in the oldest form.
fn tensors(saved: &SavedAdapter, flat: bool) -> Result<BTreeMap<String, TensorData>, FileError> {
    let kind = saved.rwkv_peft_kind()?;
    saved.check_finite()?;
    let naming = match kind {
        Some(Kind::Miss) => Naming::RWKV_DISHA,
        Some(Kind::Bone(_)) | None => Naming::RWKV_BONE,
    };
    let mut tensors = saved.named(naming);
    let mut unclear = Vec::new();
    if flat && kind == Some(Kind::Bone(BlockAxis::Output)) {
        let adapters = tensors.iter_mut();
        for (name, data) in adapters.filter(|(name, _)| naming.split(name).is_some()) {
            let [blocks, rank] = [data.shape[0], data.shape[2]];
            if blocks == 1 {
                unclear.push(name.clone());
            }
            data.shape = [blocks * rank, rank].into();
        }
    }
    match unclear.is_empty() {
        true => Ok(tensors),
        false => Err(FileError::NotOneAdapter(format!(
            "this format cannot distinguish bone from miss in layers with as many outputs as the rank: \
             {}; write safetensors or a PEFT folder",
            joined(unclear, ", ")
        ))),
    }
}
