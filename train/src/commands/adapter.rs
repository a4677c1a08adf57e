//! The adapter in a folder a person names: finding it, and putting it on a model.

use super::CommandError;
use crate::checkpoint;
use crate::models::{ModelInfo, is_hugging_face, own_path};
use crate::prompt::Prompt;
use crate::step::{TrainBackend, TrainModel};
use bone::peft::{self, CONFIG_FILE};
use bone::rwkv_peft::{self, Kind};
use bone::saved::{Contents, SavedAdapter, Scan, is_state};
use bone::weights::Info;
use bone_lm::checkpoint::{Checkpoint, SINGLE_FILE};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder `train` puts the adapter into, inside its output folder.
pub(super) const ADAPTER: &str = "adapter";
/// The folder `train --method full` puts the model into, inside its output folder.
pub(super) const MODEL: &str = "model";

/// What that is called while a new one takes its place.
pub(super) const OLD_MODEL: &str = "model.old";

/// These, and the folder that a run is saved into on its way.
pub(crate) const RESULTS: [&str; 4] = [ADAPTER, MODEL, OLD_MODEL, checkpoint::FOLDER];

/// Where an adapter lies.
enum At {
    /// A folder of PEFT's or ours.
    Folder(PathBuf),
    /// One file without settings.
    File(PathBuf),
    /// A file of the name that models have, as JL-er's folders hold theirs; it may be a model.
    PerhapsModel(PathBuf),
}

/// Finds the adapter at `path`: a folder, the output folder of a run, or a file.
fn locate(path: &Path) -> Option<At> {
    if path.is_file() {
        return Some(At::File(path.to_path_buf()));
    }
    let mut folders = [path.to_path_buf(), path.join(ADAPTER)].into_iter();
    let single = path.join(SINGLE_FILE);
    match folders.find(|folder| folder.join(CONFIG_FILE).is_file()) {
        Some(folder) => Some(At::Folder(folder)),
        None => single.is_file().then_some(At::PerhapsModel(single)),
    }
}

/// The folder or the file that the adapter at `path` is; `path` where there is none.
pub(crate) fn place(path: &Path) -> PathBuf {
    match locate(path) {
        Some(At::Folder(place) | At::File(place) | At::PerhapsModel(place)) => place,
        None => path.to_path_buf(),
    }
}

/// Takes apart the adapter at `path`: a folder of PEFT's or ours, the output folder of a run, or one
/// file of RWKV-PEFT's or JL-er's. `kind` settles what such a file does not say.
///
/// # Errors
///
/// There is no adapter, or none that can be read.
pub(crate) fn open(path: &Path, kind: Option<Kind>) -> Result<Scan, CommandError> {
    let scan = match locate(path) {
        Some(At::File(file)) => rwkv_peft::scan(&file, kind)?,
        Some(At::Folder(folder)) => {
            let scan = peft::scan(&folder)?;
            agrees(&scan, &folder, kind)?;
            scan
        }
        Some(At::PerhapsModel(file)) => rwkv_peft::scan(&file, kind).map_err(|error| {
            let opened = Checkpoint::open_file(&file);
            match opened.is_ok_and(|opened| rwkv_peft::holds_adapter(&opened)) {
                true => error.into(),
                false => no_adapter(path),
            }
        })?,
        None => return Err(no_adapter(path)),
    };
    Ok(match scan.any_name(is_hugging_face) {
        true => scan.renamed(own_path),
        false => scan,
    })
}

/// The prompt of the training run that made the adapter at `path`, where its folder holds it.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn prompt(path: &Path) -> Result<Option<Prompt>, CommandError> {
    match locate(path) {
        Some(At::Folder(folder)) => Prompt::load(&folder),
        _ => Ok(None),
    }
}

/// # Errors
///
/// A folder says itself what it holds, and was said to hold something else.
fn agrees(scan: &Scan, folder: &Path, kind: Option<Kind>) -> Result<(), CommandError> {
    let own = scan.contents().adapter.map(|config| config.variant);
    match (own, kind) {
        (Some(own), Some(kind)) if Kind::of(own) != Some(kind) => Err(CommandError::Path {
            path: folder.join(CONFIG_FILE),
            reason: format!(
                "says itself that the adapter is {}; leave --block-axis out",
                own.name()
            ),
        }),
        _ => Ok(()),
    }
}

/// The tensors of the adapter at `path` as they lie in its file.
///
/// # Errors
///
/// There is none, or it is broken.
pub(super) fn tensors(path: &Path) -> Result<Checkpoint, CommandError> {
    match locate(path) {
        Some(At::File(file) | At::PerhapsModel(file)) => Ok(Checkpoint::open_file(&file)?),
        Some(At::Folder(folder)) => Ok(peft::open(&folder)?),
        None => Err(no_adapter(path)),
    }
}

fn no_adapter(path: &Path) -> CommandError {
    let path = path.to_path_buf();
    if !path.exists() {
        let reason = "there is no such file or folder".into();
        return CommandError::Path { path, reason };
    }
    CommandError::Path {
        path,
        reason: format!(
            "holds no adapter: there is no {CONFIG_FILE}; give an adapter's folder, the --out of a \
             training run, or a file of RWKV-PEFT's or JL-er's"
        ),
    }
}

/// Whether it holds the tuned states of a recurrent model.
fn holds_states(scan: &Scan) -> bool {
    scan.contents().full.iter().any(|name| is_state(name))
}

fn no_states(path: &Path) -> CommandError {
    CommandError::Path {
        path: path.to_path_buf(),
        reason:
            "holds the tuned states of a recurrent model (RWKV6), and this model has no state; \
                 give the model it was trained on"
                .into(),
    }
}

/// What was found at `path`, once it is known to fit a model of these parameters that is not
/// loaded.
pub(super) fn fit(
    scan: Scan,
    path: &Path,
    info: &ModelInfo,
    parameters: &BTreeMap<String, Info>,
) -> Result<SavedAdapter, CommandError> {
    if info.states.is_empty() && holds_states(&scan) {
        return Err(no_states(path));
    }
    Ok(scan.fit(&info.linear_layers, parameters)?)
}

/// Puts what was found on `model`: adapters, parameters whole, or the blocks' initial states.
pub(super) fn put_on<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    scan: Scan,
    path: &Path,
) -> Result<(M, Contents), CommandError> {
    let model = match holds_states(&scan) {
        true => model.with_initial_state().ok_or_else(|| no_states(path))?,
        false => model,
    };
    Ok(scan.put_on::<B, M>(model)?)
}
