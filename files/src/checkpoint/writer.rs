use crate::wording::joined;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{BoolStore, DType, TensorData};
use serde_json::json;
use thiserror::Error;

use super::header::METADATA_KEY;
use super::{Dtype, INDEX_FILE, SINGLE_FILE};

mod stream;

pub use stream::{Planned, save_streamed};
use stream::{header, in_file_order};

/// Why a checkpoint could not be written. The writer removes only unfinished temporary files, and
/// never replaces an existing file.
#[derive(Debug, Error)]
pub enum SaveError {
    /// The folder already holds weights.
    #[error(
        "{} already contains {}: choose another folder, or remove them first",
        folder.display(), joined(files, ", ")
    )]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// The weight files in it.
        files: Vec<String>,
    },
    /// A file could not be written.
    #[error("{} cannot be written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A tensor can't be stored.
    #[error("tensor {name:?} cannot be saved: {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// There was no tensor to write.
    #[error("no tensor to save in {}", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
}

/// Writes a model folder tensor by tensor and holds the data of one shard at a time.
///
/// All files are complete on disk under temporary names before the first is renamed, and the index
/// comes last. So an interrupted folder is never taken for a checkpoint.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    max_shard_bytes: u64,
    metadata: BTreeMap<String, String>,
    shard: Vec<(String, Dtype, TensorData)>,
    shard_bytes: u64,
    total_bytes: u64,
    written: Vec<TemporaryFile>,
    /// Shard number of each tensor.
    placed: BTreeMap<String, usize>,
}

/// Writes all `tensors` to `folder` with a [`Writer`] and returns the paths of the files.
///
/// # Errors
/// Same as [`Writer::create`], [`Writer::push`] and [`Writer::finish`].
pub fn save(
    folder: &Path,
    tensors: impl IntoIterator<Item = (String, TensorData)>,
    max_shard_bytes: u64,
    metadata: BTreeMap<String, String>,
) -> Result<Vec<PathBuf>, SaveError> {
    let mut writer = Writer::create(folder, max_shard_bytes, metadata)?;
    for (name, data) in tensors {
        writer.push(&name, data)?;
    }
    writer.finish()
}

impl Writer {
    /// Starts a checkpoint in `folder`, which is created if needed. Shards hold up to
    /// `max_shard_bytes` of data, or a single larger tensor. `metadata` goes to the header of every
    /// file. `"format": "pt"` is added, because transformers refuses a file without it.
    ///
    /// # Errors
    /// If the folder can't be created or already holds weights.
    pub fn create(
        folder: &Path,
        max_shard_bytes: u64,
        mut metadata: BTreeMap<String, String>,
    ) -> Result<Self, SaveError> {
        let io_error = |source| SaveError::Io {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(io_error)?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io_error)? {
            let name = entry.map_err(io_error)?.file_name();
            let name = name.to_string_lossy();
            let shard = name.starts_with("model-") && name.ends_with(".safetensors");
            if shard || name == SINGLE_FILE || name == INDEX_FILE {
                files.push(name.into_owned());
            }
        }
        if !files.is_empty() {
            files.sort_unstable();
            return Err(SaveError::Occupied {
                folder: folder.to_owned(),
                files,
            });
        }
        metadata
            .entry("format".to_owned())
            .or_insert_with(|| "pt".to_owned());
        Ok(Self {
            folder: folder.to_owned(),
            max_shard_bytes,
            metadata,
            shard: Vec::new(),
            shard_bytes: 0,
            total_bytes: 0,
            written: Vec::new(),
            placed: BTreeMap::new(),
        })
    }

    /// Adds a tensor and holds its data until its shard is full.
    ///
    /// # Errors
    /// If the name was used before, if safetensors lacks the data's type, if the data does not fit
    /// its shape, or if a full shard can't be written.
    pub fn push(&mut self, name: &str, data: TensorData) -> Result<(), SaveError> {
        let refuse = |reason: String| SaveError::Tensor {
            name: name.to_owned(),
            reason,
        };
        let Some(dtype) = file_dtype(data.dtype) else {
            return Err(refuse(format!(
                "safetensors does not support {:?}",
                data.dtype
            )));
        };
        let elements = data
            .shape
            .iter()
            .try_fold(1usize, |product, &dim| product.checked_mul(dim));
        let needed = elements.and_then(|count| count.checked_mul(data.dtype.size()));
        if needed != Some(data.bytes.len()) {
            return Err(refuse(format!(
                "shape {:?} of {dtype} does not match its {} bytes",
                data.shape,
                data.bytes.len()
            )));
        }
        if name == METADATA_KEY || self.placed.contains_key(name) {
            return Err(refuse("the name is reserved or used twice".to_owned()));
        }
        let bytes = data.bytes.len() as u64;
        if !self.shard.is_empty() && self.shard_bytes + bytes > self.max_shard_bytes {
            self.write_shard()?;
        }
        self.placed.insert(name.to_owned(), self.written.len());
        self.shard_bytes += bytes;
        self.total_bytes += bytes;
        self.shard.push((name.to_owned(), dtype, data));
        Ok(())
    }

    /// Writes the remaining tensors and renames the files to their final names.
    ///
    /// # Errors
    /// If a file can't be written, or no tensor was pushed.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, SaveError> {
        if self.shard.is_empty() {
            return Err(SaveError::Empty {
                folder: self.folder,
            });
        }
        self.write_shard()?;
        let count = self.written.len();
        let names: Vec<String> = match count {
            1 => vec![SINGLE_FILE.to_owned()],
            _ => (1..=count)
                .map(|number| format!("model-{number:05}-of-{count:05}.safetensors"))
                .collect(),
        };
        let mut pending: Vec<_> = self.written.into_iter().zip(names.clone()).collect();
        if count > 1 {
            let weight_map: BTreeMap<_, _> = self
                .placed
                .iter()
                .map(|(tensor, &shard)| (tensor, &names[shard]))
                .collect();
            let index = json!({
                "metadata": { "total_size": self.total_bytes },
                "weight_map": weight_map,
            });
            let file = TemporaryFile::write(&self.folder, count, |out| {
                serde_json::to_writer_pretty(&mut *out, &index)?;
                out.write_all(b"\n")
            })?;
            pending.push((file, INDEX_FILE.to_owned()));
        }
        let mut paths = Vec::with_capacity(pending.len());
        for (file, name) in pending {
            paths.push(file.rename(&self.folder.join(name))?);
        }
        sync_folder(&self.folder).map_err(|source| SaveError::Io {
            path: self.folder.clone(),
            source,
        })?;
        Ok(paths)
    }

    fn write_shard(&mut self) -> Result<(), SaveError> {
        let mut tensors = std::mem::take(&mut self.shard);
        self.shard_bytes = 0;
        tensors.sort_by(|(a_name, a, _), (b_name, b, _)| in_file_order((a_name, *a), (b_name, *b)));
        let entries = tensors.iter().map(|(name, dtype, data)| {
            let bytes = data.bytes.len() as u64;
            (name.as_str(), *dtype, &data.shape[..], bytes)
        });
        let header = header(entries, &self.metadata);
        let file = TemporaryFile::write(&self.folder, self.written.len(), |out| {
            out.write_all(&header?)?;
            tensors
                .iter()
                .try_for_each(|(_, _, data)| out.write_all(&data.bytes))
        })?;
        self.written.push(file);
        Ok(())
    }
}

/// A finished file with a temporary name. Dropping it removes the file, unless it was renamed.
#[derive(Debug)]
struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    fn write(
        folder: &Path,
        number: usize,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<Self, SaveError> {
        let path = folder.join(format!(".model-{number}.{}.tmp", std::process::id()));
        let io_error = |path: &Path, source| SaveError::Io {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| io_error(&path, source))?;
        let this = Self { path };
        let mut out = BufWriter::new(file);
        write(&mut out)
            .and_then(|()| out.flush())
            .and_then(|()| out.get_ref().sync_all())
            .map_err(|source| io_error(&this.path, source))?;
        Ok(this)
    }

    fn rename(self, path: &Path) -> Result<PathBuf, SaveError> {
        std::fs::rename(&self.path, path).map_err(|source| SaveError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(path.to_owned())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // After a rename no file has this name. An error during cleanup cannot be reported, because
        // another error is already on its way.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the names in a folder durable; on Unix they are the folder's data.
///
/// # Errors
///
/// Errors of the file system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Returns the format's name for a burn type, if it has one.
pub fn file_dtype(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 | DType::Flex32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool(BoolStore::Native | BoolStore::U8) => Dtype::BOOL,
        _ => return None,
    })
}
