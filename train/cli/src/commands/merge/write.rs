//! Writing a merged model shard by shard, one tensor in memory at a time.

use super::MergeArgs;
use crate::error::CommandError;
use bone::saved::{SavedAdapter, Scan, is_state};
use bone::{LayerError, MergeError, weights};
use bone_lm::Part;
use bone_lm::checkpoint::{Checkpoint, Dtype, Planned, burn_dtype, file_dtype, save_streamed};
use bone_train::device::OnDevice;
use bone_train::models::adapter::fit;
use bone_train::models::{Architecture, MAX_SHARD_BYTES, ModelBackend, OpenModel, own_name};
use burn::tensor::{DType, TensorData};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Bytes to read from the model's files before they are reopened. Pages that were read count as memory of
/// this process while the files are open.
const MAX_MAPPED: usize = 128 << 20;

/// A merged model that is being written.
pub(super) struct Write<'a> {
    args: &'a MergeArgs,
    folder: &'a Path,
    adapters: Vec<SavedAdapter>,
    architecture: Architecture,
    checkpoint: Checkpoint,
    /// Bytes read from the model's files since they were opened.
    read: usize,
    /// Tensors of each file.
    pub(super) shards: Vec<Vec<Planned>>,
    reversal: Reversal,
    /// Layers that cannot be merged, collected to report all of them.
    problems: Vec<LayerError>,
}

/// Error of taking adapters out: the difference from the given weights after merging the adapters again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reversal {
    squared_error: f64,
    squared: f64,
    largest: f64,
}

impl Reversal {
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
            "after merging again, the weights differ by {:.1e} of their norm; the largest difference is \
             {:.1e}",
            (self.squared_error / self.squared).sqrt(),
            self.largest
        )
    }
}

impl<'a> Write<'a> {
    /// Checks that the adapters fit the model, and plans the files in `folder`.
    pub(super) fn plan(
        args: &'a MergeArgs,
        folder: &'a Path,
        model: OpenModel,
        scans: Vec<Scan>,
    ) -> Result<Self, CommandError> {
        let scans = scans.into_iter().zip(&args.adapter);
        let adapters = scans.map(|(scan, path)| fit(scan, path, &model));
        let adapters = adapters.collect::<Result<Vec<_>, _>>()?;
        let holds_whole = adapters.iter().find(|saved| !saved.full.is_empty());
        if let Some(saved) = holds_whole.filter(|_| args.unmerge) {
            return Err(CommandError::path(
                &saved.path,
                "contains weights trained in full, which replaced those of the base, so it cannot be \
                 unmerged; use the base model",
            ));
        }
        let whole: BTreeMap<_, _> = adapters.iter().flat_map(|saved| &saved.full).collect();
        // With tied embeddings a stored head is a copy of them. Once they change, the copy is outdated.
        let mut names = whole.keys();
        let stale_head = !model.info.parts.contains_key(&Part::Head)
            && names.any(|name| name.ends_with("embed_tokens.weight"));
        let chosen = args.dtype.dtype();
        let plan = |name: &str, stored: DType, shape: &[usize]| Planned {
            name: name.to_owned(),
            dtype: file_dtype(chosen.unwrap_or(stored)).unwrap_or(Dtype::F32),
            shape: shape.to_vec(),
        };
        let mut planned = Vec::new();
        for (name, tensor) in model.checkpoint.tensors() {
            if stale_head && name == "lm_head.weight" {
                continue;
            }
            let stored = burn_dtype(tensor.dtype).filter(DType::is_float);
            let stored = stored.ok_or_else(|| {
                let reason = format!(
                    "{name} has type {}, which is not a float type",
                    tensor.dtype
                );
                CommandError::path(&args.model, reason)
            })?;
            planned.push(plan(name, stored, &tensor.shape));
        }
        // States, which the base does not have.
        let is_new = |name: &str| is_state(name) && model.checkpoint.get(name).is_none();
        let new = whole.iter().filter(|(name, _)| is_new(name));
        planned.extend(new.map(|(name, state)| plan(name, DType::F32, &state.shape)));
        Ok(Self {
            args,
            folder,
            architecture: model.info.architecture,
            checkpoint: model.checkpoint,
            read: 0,
            shards: shards(planned, args.max_shard_size.unwrap_or(MAX_SHARD_BYTES)),
            reversal: Reversal::default(),
            problems: Vec::new(),
            adapters,
        })
    }

    /// Returns a tensor of the model, if it exists.
    fn given(&mut self, name: &str) -> Result<Option<TensorData>, CommandError> {
        if self.read > MAX_MAPPED {
            (self.checkpoint, self.read) = (Checkpoint::open_path(&self.args.model)?, 0);
        }
        let Some(info) = self.checkpoint.get(name) else {
            return Ok(None);
        };
        self.read += info.bytes;
        Ok(Some(self.checkpoint.data(name)?))
    }

    /// Returns the tensor to write under a name.
    fn tensor<B: ModelBackend>(
        &mut self,
        name: &str,
        device: &B::Device,
    ) -> Result<TensorData, CommandError> {
        let chosen = self.args.dtype.dtype();
        let own = own_name(self.architecture, name);
        let Some(given) = self.given(name)? else {
            let mut newest = self.adapters.iter().rev();
            let state = newest.find_map(|saved| saved.full.get(&own)).cloned();
            let state = state.ok_or_else(|| {
                CommandError::path(&self.args.model, format!("{name} no longer exists"))
            })?;
            return Ok(state.convert_dtype(chosen.unwrap_or(DType::F32)));
        };
        let stored = chosen.unwrap_or(given.dtype);
        let layer = own.strip_suffix(".weight").unwrap_or_default();
        let changes = |saved: &SavedAdapter| saved.adapts(layer) || saved.full.contains_key(&own);
        if !self.adapters.iter().any(changes) {
            return Ok(given.convert_dtype(stored));
        }
        let changed = self.changed::<B>(&own, &given, stored, device);
        Ok(changed.unwrap_or_else(|error| {
            self.problems.push(error);
            given.convert_dtype(stored)
        }))
    }

    /// Returns a weight with the adapters merged in or taken out.
    fn changed<B: ModelBackend>(
        &mut self,
        own: &str,
        given: &TensorData,
        stored: DType,
        device: &B::Device,
    ) -> Result<TensorData, LayerError> {
        let layer = own.strip_suffix(".weight").unwrap_or_default();
        let merged = |value| {
            self.adapters.iter().try_fold(value, |value, saved| {
                // A parameter that the adapter stores in full replaces the weight.
                let value = saved.full.get(own).cloned().unwrap_or(value);
                saved.merge::<B::InnerBackend>(layer, value, device)
            })
        };
        let value = given.clone().convert_dtype(DType::F32);
        let value = if self.args.unmerge {
            let mut newest = self.adapters.iter().rev();
            newest.try_fold(value, |value, saved| {
                saved.unmerge::<B::InnerBackend>(layer, value, device)
            })?
        } else {
            merged(value)?
        };
        let value = value.convert_dtype(stored);
        if !weights::is_finite(&value) {
            return Err(LayerError {
                module: own.to_owned(),
                d_input: given.shape.last().copied().unwrap_or(1),
                d_output: given.shape.first().copied().unwrap_or(1),
                reason: format!("its merged values overflow {stored:?}; use --dtype f32").into(),
            });
        }
        if self.args.unmerge {
            let again = merged(value.clone())?.convert_dtype(stored);
            self.reversal.add(given, &again);
        }
        Ok(value)
    }
}

/// Groups tensors into files of at most `most` bytes. A larger tensor has a separate file.
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

impl OnDevice for Write<'_> {
    type Output = Result<Option<Reversal>, CommandError>;

    fn run<B: ModelBackend>(mut self, device: B::Device) -> Self::Output {
        let shards = std::mem::take(&mut self.shards);
        let metadata = self.checkpoint.metadata().clone();
        save_streamed(self.folder, shards, &metadata, |name: &str| {
            self.tensor::<B>(name, &device)
        })?;
        if self.problems.is_empty() {
            return Ok(self.args.unmerge.then_some(self.reversal));
        }
        Err(MergeError::Layers(self.problems).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_stay_below_maximum_size() {
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
