//! Finding the adapter in a path from the user, and applying it to a model.

use crate::layout::ADAPTER;
use crate::models::{ModelError, OpenModel, is_hugging_face, own_path};
use crate::step::{TrainBackend, TrainModel};
use bone::peft::{self, CONFIG_FILE};
use bone::rwkv_peft::{self, Kind};
use bone::saved::{Contents, SavedAdapter, Scan, is_state};
use bone_data::Prompt;
use bone_lm::checkpoint::{Checkpoint, SINGLE_FILE};
use std::path::{Path, PathBuf};

/// Finds the adapter at `path`: a folder, a run's output folder, or a file.
fn locate(path: &Path) -> Result<PathBuf, ModelError> {
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    let mut folders = [path.to_path_buf(), path.join(ADAPTER)].into_iter();
    if let Some(folder) = folders.find(|folder| folder.join(CONFIG_FILE).is_file()) {
        return Ok(folder);
    }
    // JL-er's folders hold adapters in a file with the name of a model file.
    let single = path.join(SINGLE_FILE);
    if Checkpoint::open_file(&single).is_ok_and(|file| rwkv_peft::holds_adapter(&file)) {
        return Ok(single);
    }
    let reason = if path.exists() {
        format!(
            "is not an adapter: {CONFIG_FILE} is missing; give an adapter folder, the --out of a training \
             run, or a file of RWKV-PEFT or JL-er/Bone"
        )
    } else {
        "file or folder not found".to_owned()
    };
    Err(ModelError::path(path, reason))
}

/// Returns the folder or file of the adapter at `path`; `path` itself if it has none.
pub fn place(path: &Path) -> PathBuf {
    locate(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Scans the adapter at `path`: a folder in PEFT's format or ours, a run's output folder, or a single file
/// of RWKV-PEFT or JL-er. Such a file may not record its `kind`, which then must be given.
///
/// # Errors
///
/// The adapter does not exist or cannot be read.
pub fn open(path: &Path, kind: Option<Kind>) -> Result<Scan, ModelError> {
    let place = locate(path)?;
    let scan = if place.is_dir() {
        let scan = peft::scan(&place)?;
        agrees(&scan, &place, kind)?;
        scan
    } else {
        rwkv_peft::scan(&place, kind)?
    };
    Ok(if scan.any_name(is_hugging_face) {
        scan.renamed(own_path)
    } else {
        scan
    })
}

/// Returns the prompt of the training run that made the adapter at `path`, if its folder holds one.
///
/// # Errors
///
/// The file cannot be read.
pub fn prompt(path: &Path) -> Result<Option<Prompt>, ModelError> {
    match locate(path) {
        Ok(folder) if folder.is_dir() => Ok(Prompt::load(&folder)?),
        _ => Ok(None),
    }
}

/// # Errors
///
/// The folder records another kind than the given one.
fn agrees(scan: &Scan, folder: &Path, kind: Option<Kind>) -> Result<(), ModelError> {
    let own = scan.contents().adapter.map(|config| config.variant);
    match (own, kind) {
        (Some(own), Some(kind)) if Kind::of(own) != Some(kind) => {
            let own = own.name();
            let reason = format!("records that the adapter is {own}; remove --block-axis");
            Err(ModelError::path(&folder.join(CONFIG_FILE), reason))
        }
        _ => Ok(()),
    }
}

/// Returns the tensors of the adapter at `path` as stored in its file.
///
/// # Errors
///
/// The adapter does not exist or is damaged.
pub fn tensors(path: &Path) -> Result<Checkpoint, ModelError> {
    let place = locate(path)?;
    if place.is_dir() {
        Ok(peft::open(&place)?)
    } else {
        Ok(Checkpoint::open_file(&place)?)
    }
}

/// Returns whether it holds the tuned states of a recurrent model.
fn holds_states(scan: &Scan) -> bool {
    scan.contents().full.iter().any(|name| is_state(name))
}

fn no_states(path: &Path) -> ModelError {
    let reason = "holds the tuned states of a recurrent model (RWKV6), and this model has no state; \
                  give the model it was trained on";
    ModelError::path(path, reason)
}

/// Returns the adapter scanned at `path`, after checking that it fits `model`.
pub fn fit(scan: Scan, path: &Path, model: &OpenModel) -> Result<SavedAdapter, ModelError> {
    if model.info.states.is_empty() && holds_states(&scan) {
        return Err(no_states(path));
    }
    Ok(scan.fit(&model.info.linear_layers, &model.parameters())?)
}

/// Applies an adapter to `model`: adapter weights, full parameters, or the blocks' initial states.
pub fn put_on<B: TrainBackend, M: TrainModel<B>>(
    mut model: M,
    scan: Scan,
    path: &Path,
) -> Result<(M, Contents), ModelError> {
    if holds_states(&scan) {
        model = model.with_initial_state().ok_or_else(|| no_states(path))?;
    }
    Ok(scan.put_on::<B, M>(model)?)
}
