//! Adapters of RWKV-PEFT, and JL-er's first ones: one file without settings; its tensors have the
//! layers' names.
//!
//! | tensors | adapter |
//! |---|---|
//! | `blocks.N.….bone` `[n, r, r]` | bone on the input axis, in RWKV-PEFT |
//! | `blocks.N.….bone` or `.disha`, `.miss_block` `[r, out]` | miss |
//! | `blocks.N.….bone` `[out, r]` | bone on the output axis, RWKV-PEFT's oldest form |
//! | `model.layers.N.….bone` `[n, r, r]` in safetensors | bone on the output axis, in JL-er's first version |
//!
//! Everything else in the file is a full parameter (`time_*`, `ln*`), or only `time_state`. The
//! header of our safetensors files also names the variant. An ambiguous file is refused unless the
//! caller gives its [`Kind`].
//!
//! ```
//! use bone::rwkv_peft::{Kind, scan, write_safetensors};
//! use burn::tensor::TensorData;
//! use std::collections::BTreeMap;
//!
//! // RWKV-PEFT's file of a miss of rank 2 on a layer of 4 outputs.
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("adapter.pth");
//! let block = TensorData::new(vec![0.5f32; 2 * 4], [2, 4]);
//! bone_files::save_pth(&path, &BTreeMap::from([("blocks.0.att.key.disha".to_string(), block)]))?;
//!
//! let saved = scan(&path, None)?.finish()?;
//! let variant = saved.config.as_ref().map(|config| config.variant);
//! assert_eq!(variant.and_then(Kind::of), Some(Kind::Miss));
//! write_safetensors(&saved, &folder.path().join("adapter.safetensors"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::saved::{Layout, Naming, SavedAdapter, Scan, is_state, uneven};
use crate::{AdapterConfig, BlockAxis, FileError, Selection, Targets, Variant};
use bone_files::{Checkpoint, wording::joined};
use std::collections::BTreeSet;
use std::path::Path;

mod write;

pub use write::{write_pth, write_safetensors};

/// Key under which our safetensors files record the variant.
const VARIANT_KEY: &str = "bone_variant";

/// Names of the tensors in such files.
const NAMINGS: [Naming; 3] = [Naming::RWKV_BONE, Naming::RWKV_DISHA, Naming::RWKV_MISS];

/// The kind of an adapter whose file does not state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bone on this axis.
    Bone(BlockAxis),
    /// Miss.
    Miss,
}

impl Kind {
    /// All kinds.
    const ALL: [Self; 3] = [
        Self::Bone(BlockAxis::Output),
        Self::Bone(BlockAxis::Input),
        Self::Miss,
    ];

    /// Returns the variant of this kind.
    ///
    /// See the [example](crate::rwkv_peft).
    pub fn variant(self) -> Variant {
        match self {
            Self::Bone(axis) => Variant::Bone(axis),
            Self::Miss => Variant::Miss,
        }
    }

    /// Returns the kind of `variant`; `None` if it is neither bone nor miss.
    ///
    /// See the [example](crate::rwkv_peft).
    pub fn of(variant: Variant) -> Option<Self> {
        match variant {
            Variant::Bone(axis) => Some(Self::Bone(axis)),
            Variant::Miss => Some(Self::Miss),
            _ => None,
        }
    }
}

/// The possible shapes of an adapter's tensors in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `[n, r, r]`.
    Blocks(BlockAxis),
    /// `[out, r]`, blocks of the output axis below one another.
    Flat,
    /// `[r, out]`.
    Miss,
}

/// Scans the file `path`, safetensors or written by `torch.save`. `kind` resolves an ambiguous
/// file.
///
/// See the [example](crate::rwkv_peft).
///
/// # Errors
///
/// [`FileError`] if the file is broken, holds adapters of several forms, or is ambiguous. The scan
/// reports problems of single tensors later.
pub fn scan(path: &Path, kind: Option<Kind>) -> Result<Scan, FileError> {
    let format = |reason: String| FileError::Format {
        path: path.to_path_buf(),
        reason,
    };
    std::fs::metadata(path).map_err(crate::error::io(path))?;
    let file = Checkpoint::open_file(path).map_err(|error| format(error.reason()))?;
    if file.tensors().any(|(key, _)| Naming::is_pefts(key)) {
        return Err(of_peft(path));
    }
    let of = |naming: &Naming| file.tensors().any(|(key, _)| naming.split(key).is_some());
    let found: Vec<_> = NAMINGS.into_iter().filter(of).collect();
    let naming = match found[..] {
        [] => return states(path, &file),
        [naming] => naming,
        _ => {
            let patterns = found.iter().map(Naming::pattern).collect::<Vec<_>>();
            return Err(format(format!(
                "contains adapters with several naming schemes: {}",
                patterns.join(", ")
            )));
        }
    };
    let adapters: Vec<(&str, &[usize])> = file
        .tensors()
        .filter_map(|(key, info)| Some((naming.split(key)?.0, &info.shape[..])))
        .collect();
    let said = file.metadata().get(VARIANT_KEY).map(String::as_str);
    let form = form(&adapters, naming, said, kind, file.is_pickled()).map_err(format)?;
    let (variant, rank) = match form {
        Form::Blocks(axis) => (Variant::Bone(axis), common(&adapters, 2)),
        Form::Flat => (Variant::Bone(BlockAxis::Output), common(&adapters, 1)),
        Form::Miss => (Variant::Miss, common(&adapters, 0)),
    };
    let rank = rank.map_err(format)?;
    let layers = adapters.iter().map(|(layer, _)| layer.to_string());
    let layers: Vec<String> = layers.collect();
    let missing = uneven(layers.iter().map(String::as_str));
    // Only the other blocks show which layers should be present.
    let targets = Targets::new(Selection::Names([&layers[..], &missing[..]].concat()));
    Scan::new(
        Layout {
            settings: path.to_path_buf(),
            config: Some(AdapterConfig::new(variant, rank, targets)),
            naming,
            modules: Vec::new(),
            is_full: &|_| true,
            is_flat: form == Form::Flat,
            unknown: String::new(),
        },
        &file,
    )
}

fn of_peft(path: &Path) -> FileError {
    FileError::Format {
        path: path.to_path_buf(),
        reason: format!(
            "its tensors are named as in PEFT; give its folder, which must also contain {}",
            crate::peft::CONFIG_FILE
        ),
    }
}

/// Returns whether a file's tensors have names of an adapter, even if the file is otherwise
/// invalid.
///
/// The documentation of [`bone_files`] has an example of a checkpoint.
pub fn holds_adapter(file: &Checkpoint) -> bool {
    holds_states(file)
        || file
            .tensors()
            .any(|(key, _)| NAMINGS.iter().any(|of| of.split(key).is_some()))
}

/// Returns whether a file holds initial states. A model may hold them too, beside its weights.
fn holds_states(file: &Checkpoint) -> bool {
    let states = file.tensors().filter(|(key, _)| is_state(key)).count();
    states > 0 && 2 * states >= file.tensors().count()
}

/// Scans a file without adapters, which may hold initial states.
fn states(path: &Path, file: &Checkpoint) -> Result<Scan, FileError> {
    if !holds_states(file) {
        return Err(FileError::Format {
            path: path.to_path_buf(),
            reason: "is not an adapter: no tensor is named LAYER.bone, .disha, .miss_block or \
                     blocks.N.att.time_state"
                .into(),
        });
    }
    Scan::new(Layout::states(path.to_path_buf()), file)
}

/// Returns the form of the adapters.
fn form(
    adapters: &[(&str, &[usize])],
    naming: Naming,
    said: Option<&str>,
    kind: Option<Kind>,
    is_pickled: bool,
) -> Result<Form, String> {
    let ranks: BTreeSet<usize> = adapters.iter().map(|(_, shape)| shape.len()).collect();
    let ask = |what: &str, choices: &str| {
        Err(format!(
            "its tensors do not show {what}; set it with --block-axis {choices}"
        ))
    };
    let said = Kind::ALL
        .into_iter()
        .find(|kind| Some(kind.variant().name()) == said);
    if let (Some(said), Some(kind)) = (said, kind)
        && said != kind
    {
        return Err(format!(
            "records that the adapter is {}; remove --block-axis",
            said.variant()
        ));
    }
    match (
        ranks.iter().copied().collect::<Vec<_>>()[..].as_ref(),
        kind.or(said),
    ) {
        ([3], Some(Kind::Bone(axis))) => Ok(Form::Blocks(axis)),
        ([3], Some(Kind::Miss)) => Err(
            "its tensors have three dimensions, so it is bone, not miss; set --block-axis output \
                 or input"
                .into(),
        ),
        ([3], None) => {
            let all = |prefix: &str| adapters.iter().all(|(layer, _)| layer.starts_with(prefix));
            match naming == Naming::RWKV_BONE {
                true if all("blocks.") => Ok(Form::Blocks(BlockAxis::Input)),
                // JL-er writes safetensors; no tool writes a `.pth` with these names.
                true if all("model.layers.") && !is_pickled => Ok(Form::Blocks(BlockAxis::Output)),
                _ => ask("the axis of its blocks", "output or input"),
            }
        }
        ([2], Some(Kind::Miss)) => Ok(Form::Miss),
        ([2], Some(Kind::Bone(BlockAxis::Output))) => Ok(Form::Flat),
        ([2], Some(Kind::Bone(BlockAxis::Input))) => Err(
            "its tensors have two dimensions, so it is not bone on the input axis; set \
                 --block-axis output or none"
                .into(),
        ),
        ([2], None) if naming != Naming::RWKV_BONE => Ok(Form::Miss),
        ([2], None) => {
            // Blocks of the output axis below one another are taller than wide, and complete.
            let tall = |shape: &[usize]| shape[0] > shape[1] && shape[0].is_multiple_of(shape[1]);
            let shapes = || adapters.iter().map(|(_, shape)| *shape);
            if shapes().all(|shape| shape[1] > 0 && tall(shape)) {
                Ok(Form::Flat)
            } else if shapes().any(|shape| shape[0] < shape[1]) {
                Ok(Form::Miss)
            } else {
                ask(
                    "whether it is miss, or bone on the output axis",
                    "output for bone, or none for miss",
                )
            }
        }
        _ => Err(format!(
            "some of its adapters have two dimensions and others three: {}",
            listed(adapters)
        )),
    }
}

/// Lists every layer with its tensor's shape.
fn listed(adapters: &[(&str, &[usize])]) -> String {
    let shapes = adapters
        .iter()
        .map(|(layer, shape)| format!("{layer} {shape:?}"));
    joined(shapes, ", ")
}

/// Returns the size that all shapes have in dimension `dim`.
fn common(adapters: &[(&str, &[usize])], dim: usize) -> Result<usize, String> {
    let sizes: BTreeSet<usize> = adapters.iter().map(|(_, shape)| shape[dim]).collect();
    match sizes.iter().copied().collect::<Vec<_>>()[..] {
        [0] => Err("its adapters have rank 0".into()),
        [rank] => Ok(rank),
        _ => Err(format!(
            "its adapters have several ranks: {}",
            listed(adapters)
        )),
    }
}

impl SavedAdapter {
    /// Checks that the format can hold this adapter: bone on either axis, miss, or tuned states.
    fn rwkv_peft_kind(&self) -> Result<Option<Kind>, FileError> {
        let Some(config) = &self.config else {
            return Ok(None);
        };
        let kind = Kind::of(config.variant);
        kind.map(Some).ok_or_else(|| {
            FileError::NotOneAdapter(format!(
                "RWKV-PEFT's file format does not support {}; it supports bone, miss and states",
                config.variant.name()
            ))
        })
    }
}

#[cfg(test)]
mod tests;
