//! Writing a merged model shard by shard, one tensor in memory at a time.

use super::MergeArgs;
use crate::commands::CommandError;
use bone::saved::{SavedAdapter, Scan, is_state};
use bone::{LayerError, MergeError};
use bone_lm::Part;
use bone_lm::checkpoint::{Checkpoint, Dtype, Planned, burn_dtype, file_dtype, save_streamed};
use bone_train::device::OnDevice;
use bone_train::models::adapter::fit;
use bone_train::models::{
    Architecture, MAX_SHARD_BYTES, ModelBackend, ModelInfo, own_name, parameters,
};
use burn::tensor::{DType, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// What is written, before any of it is.
pub(super) struct Write {
    model: PathBuf,
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

/// A size in bytes with or without a unit: `5GB`, `500 MiB`, `1000000`.
pub(super) fn shard_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size; write it like 5GB or 500MB");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number * factor;
    match (1.0..1e18).contains(&bytes) {
        true => Ok(bytes as u64),
        false => Err(wrong()),
    }
}

impl Write {
    /// Checks that the adapters fit the model, and plans its files.
    pub(super) fn plan(
        args: &MergeArgs,
        info: &ModelInfo,
        scans: Vec<Scan>,
        chosen: Option<DType>,
    ) -> Result<Self, CommandError> {
        let checkpoint = Checkpoint::open_path(&args.model)?;
        let parameters = parameters(info, &checkpoint);
        let adapters = scans
            .into_iter()
            .zip(&args.adapter)
            .map(|(scan, path)| fit(scan, path, info, &parameters))
            .collect::<Result<Vec<_>, _>>()?;
        let full = adapters.iter().filter(|saved| !saved.full.is_empty());
        if let (true, Some(saved)) = (args.unmerge, full.clone().next()) {
            return Err(CommandError::Path {
                path: saved.path.clone(),
                reason:
                    "holds parameters whole, in whose place the base's were lost: it cannot be \
                         taken out"
                        .into(),
            });
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
                    return Err(CommandError::Path {
                        path: args.model.clone(),
                        reason: format!("{name} is {}, which is no weight", tensor.dtype),
                    });
                }
            };
            let dtype = file_dtype(stored).unwrap_or(Dtype::F32);
            let (name, shape) = (name.to_owned(), tensor.shape.clone());
            planned.push(Planned { name, dtype, shape });
        }
        // States, which the base has none of.
        let new = whole.iter().filter(|name| is_state(name));
        for name in new.filter(|name| checkpoint.get(name).is_none()) {
            let Some(info) = parameters.get(*name) else {
                continue;
            };
            let dtype = file_dtype(chosen.unwrap_or(DType::F32)).unwrap_or(Dtype::F32);
            let (name, shape) = ((*name).clone(), info.shape.clone());
            planned.push(Planned { name, dtype, shape });
        }
        Ok(Self {
            model: args.model.clone(),
            adapters,
            unmerge: args.unmerge,
            architecture: info.architecture,
            metadata: checkpoint.metadata().clone(),
            shards: shards(planned, args.max_shard_size.unwrap_or(MAX_SHARD_BYTES)),
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
        let Self { mut write, folder } = self;
        let shards = std::mem::take(&mut write.shards);
        let dtypes: BTreeMap<String, Dtype> = shards
            .iter()
            .flatten()
            .map(|planned| (planned.name.clone(), planned.dtype))
            .collect();
        let mut source = Source {
            path: write.model.clone(),
            open: None,
            read: 0,
        };
        let mut reversal = write.unmerge.then(Reversal::default);
        let mut problems: Vec<LayerError> = Vec::new();
        let data = |name: &str| {
            let stored = dtypes.get(name).and_then(|dtype| burn_dtype(*dtype));
            let stored = stored.unwrap_or(DType::F32);
            let given = source.tensor(name)?;
            write.tensor::<B>(name, given, stored, &device, &mut reversal, &mut problems)
        };
        save_streamed::<CommandError>(folder, shards, &write.metadata, data)?;
        match problems.is_empty() {
            true => Ok(reversal),
            false => Err(MergeError::Layers(problems).into()),
        }
    }
}

impl Write {
    /// A tensor of the result. A layer that cannot be merged goes to `problems`, so that all of
    /// them are found.
    fn tensor<B: ModelBackend>(
        &self,
        name: &str,
        given: Option<TensorData>,
        stored: DType,
        device: &B::Device,
        reversal: &mut Option<Reversal>,
        problems: &mut Vec<LayerError>,
    ) -> Result<TensorData, CommandError> {
        let own = own_name(self.architecture, name);
        let layer = own.strip_suffix(".weight").unwrap_or_default();
        let Some(given) = given else {
            // Only states are written that the model does not have.
            let values = self
                .adapters
                .iter()
                .rev()
                .find_map(|saved| saved.full.get(&own));
            return values
                .map(|values| values.clone().convert_dtype(stored))
                .ok_or_else(|| CommandError::Path {
                    path: self.model.clone(),
                    reason: format!("{name} is not there any more"),
                });
        };
        let adapted = self.adapters.iter().any(|saved| saved.adapts(layer));
        let changed = self
            .adapters
            .iter()
            .any(|saved| saved.full.contains_key(&own));
        if !adapted && !changed {
            return Ok(given.convert_dtype(stored));
        }
        let mut value = given.clone().convert_dtype(DType::F32);
        let result = match self.unmerge {
            false => self.adapters.iter().try_fold(value, |value, saved| {
                // What is held whole takes the weight's place.
                let value = saved.full.get(&own).cloned().unwrap_or(value);
                saved.merge::<B::InnerBackend>(layer, value, device)
            }),
            true => self.adapters.iter().rev().try_fold(value, |value, saved| {
                saved.unmerge::<B::InnerBackend>(layer, value, device)
            }),
        };
        value = match result {
            Ok(value) => value.convert_dtype(stored),
            Err(error) => {
                problems.push(error);
                return Ok(given.convert_dtype(stored));
            }
        };
        if !value.iter::<f32>().all(f32::is_finite) {
            let (d_output, d_input) = match given.shape[..] {
                [d_output, d_input] => (d_output, d_input),
                _ => (given.num_elements(), 1),
            };
            problems.push(LayerError {
                module: own.clone(),
                d_input,
                d_output,
                reason: format!("it would not be finite in {stored:?}").into(),
            });
        }
        if let Some(reversal) = reversal {
            let again = self
                .adapters
                .iter()
                .try_fold(value.clone(), |value, saved| {
                    saved.merge::<B::InnerBackend>(layer, value, device)
                });
            match again {
                Ok(again) => reversal.add(&given, &again.convert_dtype(stored)),
                Err(error) => problems.push(error),
            }
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("5GB", 5_000_000_000),
            ("1.5 mb", 1_500_000),
            ("2KiB", 2048),
            ("77", 77),
        ] {
            assert_eq!(shard_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "5XB", "-1", "0", "1e99", "1..2"] {
            assert!(shard_size(text).is_err(), "{text}");
        }
    }

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
