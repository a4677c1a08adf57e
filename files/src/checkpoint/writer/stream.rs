//! Writes a checkpoint one tensor at a time.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::tensor::TensorData;
use serde_json::json;

use super::super::header::METADATA_KEY;
use super::{SaveError, file_dtype};
use crate::{Dtype, INDEX_FILE, SINGLE_FILE};

/// A tensor to write, declared before its data is available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Type in the file.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Planned {
    /// Returns the size in bytes.
    pub fn bytes(&self) -> u64 {
        let elements: u64 = self.shape.iter().map(|&dim| dim as u64).product();
        elements * self.dtype.bitsize() as u64 / 8
    }
}

/// Orders the widest types first, which keeps every tensor aligned for reading in place.
pub(super) fn in_file_order(a: (&str, Dtype), b: (&str, Dtype)) -> std::cmp::Ordering {
    (b.1.bitsize(), a.0).cmp(&(a.1.bitsize(), b.0))
}

/// Returns the length of a header and the header, for tensors in the order of their data.
pub(super) fn header<'a>(
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], u64)>,
    metadata: &BTreeMap<String, String>,
) -> serde_json::Result<Vec<u8>> {
    let mut map = serde_json::Map::new();
    map.insert(METADATA_KEY.to_owned(), json!(metadata));
    let mut begin = 0;
    for (name, dtype, shape, bytes) in tensors {
        let end = begin + bytes;
        map.insert(
            name.to_owned(),
            json!({
                "dtype": dtype.to_string(),
                "shape": shape,
                "data_offsets": [begin, end],
            }),
        );
        begin = end;
    }
    let mut json = serde_json::to_vec(&map)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.append(&mut json);
    Ok(header)
}

/// Writes `shards` to `folder`, an empty folder of the caller, and holds one tensor at a time. It
/// calls `data` for each planned tensor. Several shards get Hugging Face's names and index.
///
/// # Errors
/// Errors of `data`, or if a file can't be written, or if data differs from the plan. The caller
/// must remove the partly written folder.
pub fn save_streamed<E: From<SaveError>>(
    folder: &Path,
    shards: Vec<Vec<Planned>>,
    metadata: &BTreeMap<String, String>,
    mut data: impl FnMut(&str) -> Result<TensorData, E>,
) -> Result<(), E> {
    let mut metadata = metadata.clone();
    metadata
        .entry("format".to_owned())
        .or_insert_with(|| "pt".to_owned());
    let count = shards.len();
    let mut weight_map = BTreeMap::new();
    let mut total = 0;
    for (index, mut shard) in shards.into_iter().enumerate() {
        shard.sort_by(|a, b| in_file_order((&a.name, a.dtype), (&b.name, b.dtype)));
        let file = match count {
            1 => SINGLE_FILE.to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
        };
        write_shard(&folder.join(&file), &shard, &metadata, &mut data)?;
        total += shard.iter().map(Planned::bytes).sum::<u64>();
        let names = shard.into_iter().map(|planned| planned.name);
        weight_map.extend(names.map(|name| (name, file.clone())));
    }
    if count > 1 {
        let path = folder.join(INDEX_FILE);
        let index = json!({
            "metadata": { "total_size": total },
            "weight_map": weight_map,
        });
        std::fs::write(&path, format!("{index:#}\n"))
            .map_err(|source| SaveError::Io { path, source })?;
    }
    Ok(())
}

fn write_shard<E: From<SaveError>>(
    path: &Path,
    shard: &[Planned],
    metadata: &BTreeMap<String, String>,
    data: &mut impl FnMut(&str) -> Result<TensorData, E>,
) -> Result<(), E> {
    let io = |source| SaveError::Io {
        path: path.to_owned(),
        source,
    };
    let entries = shard
        .iter()
        .map(|p| (p.name.as_str(), p.dtype, &p.shape[..], p.bytes()));
    let header = header(entries, metadata).map_err(|error| io(error.into()))?;
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut out = BufWriter::new(file.map_err(io)?);
    out.write_all(&header).map_err(io)?;
    for planned in shard {
        let data = data(&planned.name)?;
        if file_dtype(data.dtype) != Some(planned.dtype) || data.shape[..] != planned.shape[..] {
            let (dtype, shape) = (data.dtype, &data.shape);
            return Err(SaveError::Tensor {
                name: planned.name.clone(),
                reason: format!(
                    "expected {} {:?}, found {dtype:?} {shape:?}",
                    planned.dtype, planned.shape
                ),
            }
            .into());
        }
        out.write_all(&data.bytes).map_err(io)?;
    }
    out.flush()
        .and_then(|()| out.get_ref().sync_all())
        .map_err(io)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Checkpoint;
    use burn::tensor::DType;

    fn planned(name: &str, dtype: Dtype, shape: &[usize]) -> Planned {
        Planned {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
        }
    }

    fn values(planned: &str) -> Result<TensorData, SaveError> {
        Ok(match planned {
            "half" => TensorData::from([1.5f32, -2.0, 0.25]).convert_dtype(DType::BF16),
            "single" => TensorData::new(vec![1f32, 2.0, 3.0, 4.0], [2, 2]),
            _ => TensorData::from([7f64]),
        })
    }

    #[test]
    fn streamed_tensors_form_a_checkpoint() {
        let half = planned("half", Dtype::BF16, &[3]);
        let single = planned("single", Dtype::F32, &[2, 2]);
        let double = planned("double", Dtype::F64, &[1]);
        let all = vec![half.clone(), single.clone(), double.clone()];
        for shards in [vec![all], vec![vec![half], vec![single, double]]] {
            let folder = tempfile::tempdir().unwrap();
            let count = shards.len();
            save_streamed(folder.path(), shards, &BTreeMap::new(), values).unwrap();
            let read = Checkpoint::open(folder.path()).unwrap();
            assert_eq!(read.files().len(), count);
            assert_eq!(read.metadata()["format"], "pt");
            for name in ["half", "single", "double"] {
                assert_eq!(read.data(name).unwrap(), values(name).unwrap());
            }
        }
    }

    #[test]
    fn streamed_data_must_match_plan() {
        for wrong in [
            planned("single", Dtype::F16, &[2, 2]),
            planned("single", Dtype::F32, &[4]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let none = BTreeMap::new();
            let error = save_streamed(folder.path(), vec![vec![wrong]], &none, values);
            assert!(error.unwrap_err().to_string().contains("single"));
        }
    }
}
