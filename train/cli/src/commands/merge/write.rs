//! Writing a merged model shard by shard, one tensor in memory at a time.

use super::args::MergeArgs;
use crate::error::CommandError;
use bone::saved::{SavedAdapter, Scan, is_state};
use bone::{LayerError, MergeError};
use bone_lm::Part;
use bone_lm::checkpoint::{Checkpoint, Dtype, Planned, burn_dtype, file_dtype, save_streamed};
use bone_train::device::OnDevice;
use bone_train::models::adapter::fit;
use bone_train::models::{Architecture, MAX_SHARD_BYTES, ModelBackend, OpenModel, own_name};
use burn::tensor::{DType, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// What is written, before any of it is.
pub(super) struct Write {
    path: PathBuf,
    checkpoint: Checkpoint,
    adapters: Vec<SavedAdapter>,
    unmerge: bool,
    architecture: Architecture,
    metadata: BTreeMap<String, String>,
    shards: Vec<Vec<Planned>>,
}

/// How far the weights that adapters were taken out of differ from the given ones once the
/// adapters are merged again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reversal {
    squared_error: f64,
    squared: f64,
    largest: f64,
}

impl Reversal {
    /// The norm of all differences over that of the merged weights.
    pub fn relative(&self) -> f64 {
        (self.squared_error / self.squared).sqrt()
    }

    fn add(&mut self, given: &TensorData, again: &TensorData) {
        for (given, again) in given.iter::<f64>().zip(again.iter::<f64>()) {
            let error = (given - again).abs();
            self.squared_error += error * error;
            self.squared += given * given;
            self.largest = self.largest.max(error);
        }
    }
}

impl fmt::Display for Reversal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "merging again differs by {:.1e} of the merged weights' norm, by {:.1e} at most",
            self.relative(),
            self.largest
        )
    }
}

impl Write {
    /// Checks that the adapters fit the model, and plans its files.
    pub(super) fn plan(
        args: &MergeArgs,
        model: OpenModel,
        scans: Vec<Scan>,
    ) -> Result<Self, CommandError> {
        let chosen = args.dtype.dtype();
        let adapters = scans
            .into_iter()
            .zip(&args.adapter)
            .map(|(scan, path)| fit(scan, path, &model))
            .collect::<Result<Vec<_>, _>>()?;
        let (info, checkpoint) = (&model.info, &model.checkpoint);
        let full = adapters.iter().filter(|saved| !saved.full.is_empty());
        if let Some(saved) = full.clone().next().filter(|_| args.unmerge) {
            return Err(CommandError::path(
                &saved.path,
                "holds parameters whole, in whose place the base's were lost: it cannot be taken out",
            ));
        }
        // A head beside tied embeddings is a copy of them, and would not be once they changed.
        let whole: BTreeSet<&String> = full.flat_map(|saved| saved.full.keys()).collect();
        let is_stale = |name: &str| {
            let embedding_trained = whole
                .iter()
                .any(|name| name.ends_with("embed_tokens.weight"));
            name == "lm_head.weight" && !info.parts.contains_key(&Part::Head) && embedding_trained
        };

        let mut planned = Vec::new();
        for (name, tensor) in checkpoint.tensors() {
            if is_stale(name) {
                continue;
            }
            let stored = match burn_dtype(tensor.dtype) {
                Some(stored) if stored.is_float() => chosen.unwrap_or(stored),
                _ => {
                    let reason = format!("{name} is {}, which is no weight", tensor.dtype);
                    return Err(CommandError::path(&args.model, reason));
                }
            };
            let dtype = file_dtype(stored).unwrap_or(Dtype::F32);
            let (name, shape) = (name.to_owned(), tensor.shape.clone());
            planned.push(Planned { name, dtype, shape });
        }
        // States, which the base has none of.
        let new = whole.iter().filter(|name| is_state(name));
        let parameters = model.parameters();
        for name in new.filter(|name| checkpoint.get(name).is_none()) {
            let Some(info) = parameters.get(*name) else {
                continue;
            };
            let dtype = file_dtype(chosen.unwrap_or(DType::F32)).unwrap_or(Dtype::F32);
            let (name, shape) = ((*name).clone(), info.shape.clone());
            planned.push(Planned { name, dtype, shape });
        }
        Ok(Self {
            path: args.model.clone(),
            adapters,
            unmerge: args.unmerge,
            architecture: info.architecture,
            metadata: checkpoint.metadata().clone(),
            shards: shards(planned, args.max_shard_size.unwrap_or(MAX_SHARD_BYTES)),
            checkpoint: model.checkpoint,
        })
    }

    pub(super) fn files(&self) -> usize {
        self.shards.len()
    }

    pub(super) fn largest_file(&self) -> u64 {
        let size = |shard: &Vec<Planned>| shard.iter().map(Planned::bytes).sum();
        self.shards.iter().map(size).max().unwrap_or(0)
    }

    /// The work of writing it to `folder`.
    pub(super) fn into(self, folder: &Path) -> WriteOn<'_> {
        WriteOn {
            write: self,
            folder,
        }
    }
}

/// Groups tensors into files of at most `most` bytes, or a single larger tensor.
fn shards(planned: Vec<Planned>, most: u64) -> Vec<Vec<Planned>> {
    let mut shards: Vec<Vec<Planned>> = Vec::new();
    let mut bytes = 0;
    for tensor in planned {
        let size = tensor.bytes();
        match shards.last_mut() {
            Some(shard) if bytes + size <= most => shard.push(tensor),
            _ => {
                shards.push(vec![tensor]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    shards
}

/// Bytes read of the model's files before they are opened anew.
const MAX_MAPPED: usize = 128 << 20;

/// The model's files, opened anew now and then: pages of them that were read count as this process'
/// memory as long as they are open.
struct Source {
    path: PathBuf,
    open: Option<Checkpoint>,
    read: usize,
}

impl Source {
    /// A tensor, if the model has it.
    fn tensor(&mut self, name: &str) -> Result<Option<TensorData>, CommandError> {
        if self.read > MAX_MAPPED {
            (self.open, self.read) = (None, 0);
        }
        let checkpoint = match self.open.take() {
            Some(open) => open,
            None => Checkpoint::open_path(&self.path)?,
        };
        let data = match checkpoint.get(name) {
            Some(info) => {
                self.read += info.bytes;
                Some(checkpoint.data(name)?)
            }
            None => None,
        };
        self.open = Some(checkpoint);
        Ok(data)
    }
}

pub(super) struct WriteOn<'a> {
    write: Write,
    folder: &'a Path,
}

impl OnDevice for WriteOn<'_> {
    type Output = Result<Option<Reversal>, CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let Self { write, folder } = self;
        let Write {
            path,
            checkpoint,
            adapters,
            unmerge,
            architecture,
            metadata,
            shards,
        } = write;
        let dtypes: BTreeMap<String, Dtype> = shards
            .iter()
            .flatten()
            .map(|planned| (planned.name.clone(), planned.dtype))
            .collect();
        let mut source = Source {
            path,
            open: Some(checkpoint),
            read: 0,
        };
        let mut merging = Merging::<B> {
            adapters,
            architecture,
            device,
            unmerge,
            reversal: Reversal::default(),
            problems: Vec::new(),
        };
        let data = |name: &str| {
            let stored = dtypes.get(name).and_then(|dtype| burn_dtype(*dtype));
            let stored = stored.unwrap_or(DType::F32);
            match source.tensor(name)? {
                Some(given) => Ok(merging.tensor(name, given, stored)),
                None => merging.state(name, stored).ok_or_else(|| {
                    CommandError::path(&source.path, format!("{name} is not there any more"))
                }),
            }
        };
        save_streamed::<CommandError>(folder, shards, &metadata, data)?;
        if merging.problems.is_empty() {
            return Ok(unmerge.then_some(merging.reversal));
        }
        Err(MergeError::Layers(merging.problems).into())
    }
}

/// Tensors on their way into the result.
struct Merging<B: ModelBackend> {
    adapters: Vec<SavedAdapter>,
    architecture: Architecture,
    device: B::Device,
    unmerge: bool,
    reversal: Reversal,
    /// Layers that cannot be merged, so that all of them are found.
    problems: Vec<LayerError>,
}

impl<B: ModelBackend> Merging<B> {
    /// Returns a state that the model does not have; nothing else is written that it lacks.
    fn state(&self, name: &str, stored: DType) -> Option<TensorData> {
        let own = own_name(self.architecture, name);
        let mut newest = self.adapters.iter().rev();
        let values = newest.find_map(|saved| saved.full.get(&own))?;
        Some(values.clone().convert_dtype(stored))
    }

    /// Returns what becomes of a tensor that the model has.
    fn tensor(&mut self, name: &str, given: TensorData, stored: DType) -> TensorData {
        let own = own_name(self.architecture, name);
        let layer = own.strip_suffix(".weight").unwrap_or_default();
        let changes = |saved: &SavedAdapter| saved.adapts(layer) || saved.full.contains_key(&own);
        if !self.adapters.iter().any(changes) {
            return given.convert_dtype(stored);
        }
        let value = given.clone().convert_dtype(DType::F32);
        let result = if self.unmerge {
            self.adapters.iter().rev().try_fold(value, |value, saved| {
                saved.unmerge::<B::InnerBackend>(layer, value, &self.device)
            })
        } else {
            self.merged(&own, value)
        };
        let value = match result {
            Ok(value) => value.convert_dtype(stored),
            Err(error) => {
                self.problems.push(error);
                return given.convert_dtype(stored);
            }
        };
        if !value.iter::<f32>().all(f32::is_finite) {
            let (d_output, d_input) = match given.shape[..] {
                [d_output, d_input] => (d_output, d_input),
                _ => (given.num_elements(), 1),
            };
            self.problems.push(LayerError {
                module: own.clone(),
                d_input,
                d_output,
                reason: format!("it would not be finite in {stored:?}").into(),
            });
        }
        if self.unmerge {
            match self.merged(&own, value.clone()) {
                Ok(again) => self.reversal.add(&given, &again.convert_dtype(stored)),
                Err(error) => self.problems.push(error),
            }
        }
        value
    }

    /// Returns the value with every adapter in it, in order.
    fn merged(&self, own: &str, value: TensorData) -> Result<TensorData, LayerError> {
        let layer = own.strip_suffix(".weight").unwrap_or_default();
        self.adapters.iter().try_fold(value, |value, saved| {
            // What is held whole takes the weight's place.
            let value = saved.full.get(own).cloned().unwrap_or(value);
            saved.merge::<B::InnerBackend>(layer, value, &self.device)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_large_as_allowed() {
        let planned = |name: &str, len| Planned {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: vec![len],
        };
        for (most, expected) in [
            (100, vec![vec!["a", "b", "c"]]),
            (12, vec![vec!["a", "b"], vec!["c"]]),
            (5, vec![vec!["a"], vec!["b"], vec!["c"]]),
        ] {
            let tensors = vec![planned("a", 1), planned("b", 1), planned("c", 2)];
            let of = |shard: Vec<Planned>| shard.into_iter().map(|p| p.name).collect();
            let found: Vec<Vec<String>> = shards(tensors, most).into_iter().map(of).collect();
            assert_eq!(found, expected);
        }
    }
}
