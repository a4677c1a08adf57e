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

/// How far the run is.
pub const STATE: &str = "state.json";
/// What trains, and the optimizer's moments.
pub const TENSORS: &str = "training.safetensors";

/// How both are written now.
const FORMAT: u32 = 1;

/// What a run is, beside its tensors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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

impl State {
    /// Returns the state of the same run at `progress`, written as this version does.
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

/// What the state of every version has.
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
/// What is wrong with it.
pub fn read_state(folder: &Path) -> Result<State, String> {
    let wrong = |why: &dyn Display| format!("{STATE}: {why}");
    let bytes = fs::read(folder.join(STATE)).map_err(|error| wrong(&error))?;
    let Version { format, bone } = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    if format != FORMAT {
        return Err(wrong(&format_args!(
            "format {format}, written by bone {bone}, and this is bone {}, which reads {FORMAT}; go on \
             with the version that wrote it, or start from its adapter with --adapter",
            env!("CARGO_PKG_VERSION")
        )));
    }
    serde_json::from_slice(&bytes).map_err(|error| wrong(&error))
}

const VALUES: &str = "values.";
const FIRST: &str = "first.";
const SECOND: &str = "second.";

/// What trains as a safetensors file.
///
/// # Errors
///
/// A tensor with a value that is not finite, or of a precision that such a file has not.
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
            let dtype = dtype.ok_or_else(|| format!("{name} is {:?}", data.dtype))?;
            let view = TensorView::new(dtype, data.shape.to_vec(), &data.bytes);
            views.push((name, view.map_err(|error| error.to_string())?));
        }
    }
    safetensors::serialize(views, None).map_err(|error| error.to_string())
}

/// Reads what trains from the checkpoint `folder`, whose state is `state`.
///
/// # Errors
///
/// What is wrong with the file.
pub fn read_tensors(folder: &Path, state: &State) -> Result<BTreeMap<String, Trained>, String> {
    let wrong = |why: &dyn Display| format!("{TENSORS}: {why}");
    let bytes = fs::read(folder.join(TENSORS)).map_err(|error| wrong(&error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let dtype = burn_dtype(view.dtype()).filter(DType::is_float);
        let dtype = dtype.ok_or_else(|| wrong(&format_args!("{name} is {:?}", view.dtype())))?;
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
                let why = format_args!("{path}: its moments and steps do not go together");
                return Err(wrong(&why));
            }
        };
        trained.insert(path.to_owned(), Trained { values, moments });
    }
    Ok(trained)
}
