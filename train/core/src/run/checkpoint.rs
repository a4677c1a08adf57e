//! Checkpoints: everything that a run needs to go on as if it had never stopped.
//!
//! One is a folder, `OUT/checkpoints/step-N`, that is there whole or not at all:
//!
//! | file | what is in it |
//! |---|---|
//! | `state.json` | how far the run is, its settings, and what its model and rows are known by |
//! | `training.safetensors` | what trains and the optimizer's moments, by path in the model: `values.PATH`, `first.PATH`, `second.PATH` |
//! | `adapter/` or `model/` | the result so far, for every other command |
//! | `complete.json` | the other files with their sizes and hashes |
//!
//! Nothing random is stored: the order of rows is a function of the seed and the place in the data, and
//! dropout masks of the seed, the step and the row.

use super::shell;
use crate::optimizer::{Trained, TrainedMoments};
use crate::trainer::Progress;
use bone::weights::is_finite;
use bone_lm::checkpoint::{burn_dtype, file_dtype};
use burn::tensor::{DType, TensorData};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

mod find;
mod keep;
mod list;
mod saver;
mod unit;

pub use find::{Found, Located, find, locate};
pub(crate) use find::{is_trial, newest_whole, of_run as all};
pub use keep::Keep;
pub use list::LIST;
pub use saver::{Outcome, Saver, Snapshot, WriteResult, try_out};
pub use unit::{Unit, WriteError};

/// How far the run is.
pub const STATE: &str = "state.json";
/// What trains, and the optimizer's moments.
pub const TENSORS: &str = "training.safetensors";

/// How both are written now.
const FORMAT: u32 = 1;

/// What a run is, beside its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// How the checkpoint is written.
    pub format: u32,
    /// The version of bone that wrote it.
    pub bone: String,
    /// How far the run is.
    pub progress: Progress,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Its settings, as TOML.
    pub config: String,
    /// What the model's files, and those of an adapter that it starts from, are known by: a hash a file.
    pub base: BTreeMap<String, String>,
    /// What the rows are known by, once they are tokens.
    pub data: String,
    /// Steps that made the epoch.
    pub steps_per_epoch: u64,
    /// What it ran on.
    pub device: String,
    /// Steps that each parameter took, by its path.
    pub times: BTreeMap<String, u32>,
    /// Seconds that the run has taken.
    pub seconds: f64,
    /// Lines of `metrics.jsonl` that there was no room for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unwritten: String,
}

/// Why a checkpoint cannot be read or gone on from.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is none.
    #[error("{}: {reason}", path.display())]
    None {
        /// Where it was looked for.
        path: PathBuf,
        /// What is there instead, and what to do.
        reason: String,
    },
    /// The one that was asked for is damaged.
    #[error(
        "{}: {}{}", path.display(), problems.join("; "), offer(whole.as_deref())
    )]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<String>,
        /// The newest of the run that is whole.
        whole: Option<PathBuf>,
    },
}

fn offer(whole: Option<&Path>) -> String {
    match whole {
        Some(whole) => format!(
            ". To start a new run from the newest whole checkpoint:\n  bone train --resume {} --out NEW",
            shell::path(whole)
        ),
        None => "; no other checkpoint of the run is whole".to_owned(),
    }
}

impl State {
    /// The state of a run, written as this version does.
    pub fn new(progress: Progress, trained: &BTreeMap<String, Trained>, run: &RunIdentity) -> Self {
        let time = |(path, trained): (&String, &Trained)| {
            let moments = trained.moments.as_ref()?;
            Some((path.clone(), moments.time))
        };
        Self {
            format: FORMAT,
            bone: env!("CARGO_PKG_VERSION").to_owned(),
            progress,
            total_steps: run.total_steps,
            config: run.config.clone(),
            base: run.base.clone(),
            data: run.data.clone(),
            steps_per_epoch: run.steps_per_epoch,
            device: run.device.clone(),
            times: trained.iter().filter_map(time).collect(),
            seconds: run.seconds,
            unwritten: String::new(),
        }
    }
}

/// What a run is known by.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunIdentity {
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Its settings, as TOML.
    pub config: String,
    /// Of the model's files, by their names.
    pub base: BTreeMap<String, String>,
    /// Of the rows.
    pub data: String,
    /// Steps that make the epoch.
    pub steps_per_epoch: u64,
    /// What it runs on.
    pub device: String,
    /// Seconds so far.
    pub seconds: f64,
}

/// Reads the state of the checkpoint `folder`.
///
/// # Errors
///
/// [`CheckpointError::Damaged`].
pub fn read_state(folder: &Path) -> Result<State, CheckpointError> {
    let wrong = |problem: String| CheckpointError::Damaged {
        path: folder.to_path_buf(),
        problems: vec![format!("{STATE}: {problem}")],
        whole: None,
    };
    let bytes = fs::read(folder.join(STATE)).map_err(|error| wrong(error.to_string()))?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {
            serde_json::from_value(value).map_err(|error| wrong(error.to_string()))
        }
        format => {
            let of = |version: Option<&str>| version.unwrap_or("another version").to_owned();
            let bone = of(value.get("bone").and_then(serde_json::Value::as_str));
            let format = format.map_or("none".to_owned(), |format| format.to_string());
            Err(wrong(format!(
                "format {format}, written by bone {bone}, and this is bone {}, which reads {FORMAT}; go on \
                 with the version that wrote it, or start from its adapter with --adapter",
                env!("CARGO_PKG_VERSION")
            )))
        }
    }
}

const VALUES: &str = "values.";
const FIRST: &str = "first.";
const SECOND: &str = "second.";

/// What trains as a safetensors file.
///
/// # Errors
///
/// Every tensor with a value that is not finite, or of a precision that such a file has not.
pub fn tensors_to_bytes(trained: &BTreeMap<String, Trained>) -> Result<Vec<u8>, String> {
    let mut views = Vec::new();
    let mut problems = Vec::new();
    for (path, Trained { values, moments }) in trained {
        let moments = moments.iter();
        let moments = moments.flat_map(|m| [(FIRST, &m.first), (SECOND, &m.second)]);
        for (prefix, data) in moments.chain([(VALUES, values)]) {
            let name = format!("{prefix}{path}");
            if !is_finite(data) {
                problems.push(format!("{name} has values that are not finite"));
                continue;
            }
            let Some(dtype) = file_dtype(data.dtype) else {
                problems.push(format!("{name} is {:?}", data.dtype));
                continue;
            };
            match TensorView::new(dtype, data.shape.to_vec(), &data.bytes) {
                Ok(view) => views.push((name, view)),
                Err(error) => problems.push(format!("{name}: {error}")),
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// Reads what trains from the checkpoint `folder`, whose state is `state`.
///
/// # Errors
///
/// [`CheckpointError::Damaged`].
pub fn read_tensors(
    folder: &Path,
    state: &State,
) -> Result<BTreeMap<String, Trained>, CheckpointError> {
    let path = folder.join(TENSORS);
    let read = || -> Result<BTreeMap<String, Trained>, String> {
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
        let get = |name: &str| -> Result<Option<TensorData>, String> {
            let Ok(view) = file.tensor(name) else {
                return Ok(None);
            };
            let dtype = burn_dtype(view.dtype()).filter(DType::is_float);
            let dtype = dtype.ok_or_else(|| format!("{name} is {:?}", view.dtype()))?;
            let shape = view.shape().to_vec();
            Ok(Some(TensorData::from_bytes_vec(
                view.data().to_vec(),
                shape,
                dtype,
            )))
        };
        let mut trained = BTreeMap::new();
        let names = file.names();
        let paths = names.iter().filter_map(|name| name.strip_prefix(VALUES));
        for path in paths {
            let Some(values) = get(&format!("{VALUES}{path}"))? else {
                continue;
            };
            let moments = [FIRST, SECOND].map(|prefix| get(&format!("{prefix}{path}")));
            let moments = match (moments, state.times.get(path)) {
                ([Ok(Some(first)), Ok(Some(second))], Some(&time)) => Some(TrainedMoments {
                    time,
                    first,
                    second,
                }),
                ([Ok(None), Ok(None)], None) => None,
                ([Err(error), _] | [_, Err(error)], _) => return Err(error),
                _ => return Err(format!("{path}: its moments and steps do not go together")),
            };
            trained.insert(path.to_owned(), Trained { values, moments });
        }
        Ok(trained)
    };
    read().map_err(|problem| CheckpointError::Damaged {
        path: folder.to_path_buf(),
        problems: vec![format!("{TENSORS}: {problem}")],
        whole: None,
    })
}
