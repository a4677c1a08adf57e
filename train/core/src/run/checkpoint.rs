//! Checkpoints: everything that a run needs to resume as if it had never stopped.
//!
//! A checkpoint is the folder `OUT/checkpoints/step-N`. It is complete or absent:
//!
//! | file | what is in it |
//! |---|---|
//! | `state.json` | progress, settings, and the fingerprints of the model and the rows |
//! | `training.safetensors` | trained values and optimizer moments, by path in the model: `values.PATH`, `first.PATH`, `second.PATH` |
//! | `adapter/` or `model/` | the result so far, which every other command can read |
//! | `complete.json` | the other files with their sizes and hashes |
//!
//! No random state is stored. The order of rows depends only on the seed and the position in the data.
//! Dropout masks depend only on the seed, the step and the row.

use crate::optimizer::{Trained, TrainedMoments};
use crate::trainer::Progress;
use bone::weights::is_finite;
use bone_lm::checkpoint::{burn_dtype, file_dtype};
use burn::tensor::{DType, TensorData};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;

mod find;
mod keep;
mod list;
mod saver;
mod unit;

pub use find::{Found, Located, find};
pub(crate) use find::{all, is_trial, locate, newest_whole};
pub(crate) use keep::Keep;
pub use list::LIST;
pub(crate) use saver::{Outcome, Saver, Snapshot, try_out};
pub use unit::Unit;

/// File with the progress of the run.
pub const STATE: &str = "state.json";
/// File with the trained values and the optimizer's moments.
pub const TENSORS: &str = "training.safetensors";

/// Current format version of both files.
const FORMAT: u32 = 1;

/// State of a run, without its tensors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Format version of the checkpoint.
    pub format: u32,
    /// Version of bone that wrote it.
    pub bone: String,
    /// Progress of the run.
    pub progress: Progress,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Settings, as TOML.
    pub config: String,
    /// One hash per file of the model, and of the adapter that the run starts from.
    pub base: BTreeMap<String, String>,
    /// Hash of the tokenized rows.
    pub data: String,
    /// Steps per epoch.
    pub steps_per_epoch: u64,
    /// Device of the run.
    pub device: String,
    /// Steps that each parameter took, by path.
    pub times: BTreeMap<String, u32>,
    /// Seconds that the run has taken.
    pub seconds: f64,
    /// Lines of `metrics.jsonl` that did not fit on the disk.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unwritten: String,
}

impl State {
    /// Returns the state of the same run at `progress`, in the current format.
    pub fn at(&self, progress: Progress, trained: &BTreeMap<String, Trained>) -> Self {
        let time = |(path, trained): (&String, &Trained)| {
            let moments = trained.moments.as_ref()?;
            Some((path.clone(), moments.time))
        };
        Self {
            format: FORMAT,
            bone: env!("CARGO_PKG_VERSION").to_owned(),
            progress,
            times: trained.iter().filter_map(time).collect(),
            ..self.clone()
        }
    }
}

/// Fields that the state has in every format version.
#[derive(Deserialize)]
struct Version {
    format: u32,
    #[serde(default)]
    bone: String,
}

/// Reads the state of the checkpoint `folder`.
///
/// # Errors
///
/// A message that says what is wrong with it.
pub fn read_state(folder: &Path) -> Result<State, String> {
    let wrong = |why: &dyn Display| format!("{STATE}: {why}");
    let bytes = fs::read(folder.join(STATE)).map_err(|error| wrong(&error))?;
    let Version { format, bone } = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    if format != FORMAT {
        return Err(wrong(&format_args!(
            "format {format}, written by bone {bone}, is not supported: bone {} reads format {FORMAT}. \
             Resume with the version that wrote it, or start from its adapter with --adapter",
            env!("CARGO_PKG_VERSION")
        )));
    }
    serde_json::from_slice(&bytes).map_err(|error| wrong(&error))
}

const VALUES: &str = "values.";
const FIRST: &str = "first.";
const SECOND: &str = "second.";

/// Returns the trained values and moments as a safetensors file.
///
/// # Errors
///
/// A tensor has a value that is not finite, or a type that safetensors does not support.
pub fn tensors_to_bytes(trained: &BTreeMap<String, Trained>) -> Result<Vec<u8>, String> {
    let mut views = Vec::new();
    for (path, Trained { values, moments }) in trained {
        let moments = moments.iter();
        let moments = moments.flat_map(|m| [(FIRST, &m.first), (SECOND, &m.second)]);
        for (prefix, data) in moments.chain([(VALUES, values)]) {
            let name = format!("{prefix}{path}");
            if !is_finite(data) {
                return Err(format!("{name} has values that are not finite"));
            }
            let dtype = file_dtype(data.dtype);
            let dtype =
                dtype.ok_or_else(|| format!("{name}: type {:?} is not supported", data.dtype))?;
            let view = TensorView::new(dtype, data.shape.to_vec(), &data.bytes);
            views.push((name, view.map_err(|error| error.to_string())?));
        }
    }
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// Reads the trained values and moments from the checkpoint `folder` with the state `state`.
///
/// # Errors
///
/// A message that says what is wrong with the file.
pub fn read_tensors(folder: &Path, state: &State) -> Result<BTreeMap<String, Trained>, String> {
    let wrong = |why: &dyn Display| format!("{TENSORS}: {why}");
    let bytes = fs::read(folder.join(TENSORS)).map_err(|error| wrong(&error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let dtype = burn_dtype(view.dtype()).filter(DType::is_float);
        let dtype = dtype.ok_or_else(|| {
            wrong(&format_args!(
                "{name} has type {:?}, which is not a float \
          type",
                view.dtype()
            ))
        })?;
        let shape = view.shape().to_vec();
        let data = TensorData::from_bytes_vec(view.data().to_vec(), shape, dtype);
        tensors.insert(name.to_owned(), data);
    }
    let mut take = |prefix: &str, path: &str| tensors.remove(&format!("{prefix}{path}"));
    let mut trained = BTreeMap::new();
    for path in file
        .names()
        .iter()
        .filter_map(|name| name.strip_prefix(VALUES))
    {
        let Some(values) = take(VALUES, path) else {
            continue;
        };
        let moments = match (take(FIRST, path), take(SECOND, path), state.times.get(path)) {
            (Some(first), Some(second), Some(&time)) => Some(TrainedMoments {
                time,
                first,
                second,
            }),
            (None, None, None) => None,
            _ => {
                let why = format_args!("{path}: the moments or the step of AdamW are missing");
                return Err(wrong(&why));
            }
        };
        trained.insert(path.to_owned(), Trained { values, moments });
    }
    Ok(trained)
}
