//! The adapter in a folder a person names: finding it, and putting it on a model.

use crate::layout::ADAPTER;
use crate::models::{OpenModel, is_hugging_face, own_path};
use crate::step::{TrainBackend, TrainModel};
use bone::FileError;
use bone::peft::{self, CONFIG_FILE};
use bone::rwkv_peft::{self, Kind};
use bone::saved::{Contents, SavedAdapter, Scan, is_state};
use bone_data::{Prompt, PromptError};
use bone_lm::checkpoint::{Checkpoint, CheckpointError, SINGLE_FILE};
use std::path::{Path, PathBuf};

/// Why an adapter cannot be opened or put on a model.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// The path holds no adapter, or one that was asked for as something else.
    #[error("{}: {reason}", path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The adapter's files are unusable, or do not fit the model.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file's tensors cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The template and tokenizer saved beside it cannot be read.
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

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
pub fn place(path: &Path) -> PathBuf {
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
pub fn open(path: &Path, kind: Option<Kind>) -> Result<Scan, AdapterError> {
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
pub fn prompt(path: &Path) -> Result<Option<Prompt>, AdapterError> {
    match locate(path) {
        Some(At::Folder(folder)) => Ok(Prompt::load(&folder)?),
        _ => Ok(None),
    }
}

/// # Errors
///
/// A folder says itself what it holds, and was said to hold something else.
fn agrees(scan: &Scan, folder: &Path, kind: Option<Kind>) -> Result<(), AdapterError> {
    let own = scan.contents().adapter.map(|config| config.variant);
    match (own, kind) {
        (Some(own), Some(kind)) if Kind::of(own) != Some(kind) => Err(AdapterError::Path {
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
pub fn tensors(path: &Path) -> Result<Checkpoint, AdapterError> {
    match locate(path) {
        Some(At::File(file) | At::PerhapsModel(file)) => Ok(Checkpoint::open_file(&file)?),
        Some(At::Folder(folder)) => Ok(peft::open(&folder)?),
        None => Err(no_adapter(path)),
    }
}

fn no_adapter(path: &Path) -> AdapterError {
    let path = path.to_path_buf();
    if !path.exists() {
        let reason = "there is no such file or folder".into();
        return AdapterError::Path { path, reason };
    }
    AdapterError::Path {
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

fn no_states(path: &Path) -> AdapterError {
    AdapterError::Path {
        path: path.to_path_buf(),
        reason:
            "holds the tuned states of a recurrent model (RWKV6), and this model has no state; \
                 give the model it was trained on"
                .into(),
    }
}

/// What was found at `path`, once it is known to fit `model`.
pub fn fit(scan: Scan, path: &Path, model: &OpenModel) -> Result<SavedAdapter, AdapterError> {
    if model.info.states.is_empty() && holds_states(&scan) {
        return Err(no_states(path));
    }
    Ok(scan.fit(&model.info.linear_layers, &model.parameters())?)
}

/// Puts what was found on `model`: adapters, parameters whole, or the blocks' initial states.
pub fn put_on<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    scan: Scan,
    path: &Path,
) -> Result<(M, Contents), AdapterError> {
    let model = match holds_states(&scan) {
        true => model.with_initial_state().ok_or_else(|| no_states(path))?,
        false => model,
    };
    Ok(scan.put_on::<B, M>(model)?)
}
