//! A folder or file of weights, memory-mapped and checked.

mod error;
mod header;
mod index;
mod pth;
mod strided;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use memmap2::Mmap;
pub use safetensors::Dtype;

pub use error::{CheckpointError, FileProblem, Problem};
pub use header::{LFS_POINTER, json_object};
pub use index::resolve;
pub use pth::{PthProblem, save_pth};
pub use writer::{Planned, SaveError, Writer, file_dtype, save, save_streamed, sync_folder};

/// File name of a checkpoint in a single file.
pub const SINGLE_FILE: &str = "model.safetensors";
/// File name of the index of a checkpoint in shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

// The formats are little endian and their bytes are used in place.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "weight files are memory-mapped, which requires a little-endian machine"
);

/// A tensor of a checkpoint, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Shape as stored; a linear weight is `[out, in]`.
    pub shape: Vec<usize>,
    /// Element type as stored.
    pub dtype: Dtype,
    /// Size in bytes.
    pub bytes: usize,
    /// Index into [`Checkpoint::files`].
    pub file: usize,
    /// First byte within that file.
    start: usize,
    /// Elements between neighbours along each dimension; `None` if the tensor is contiguous, row by
    /// row.
    strides: Option<Vec<usize>>,
}

/// An open model folder or file. The files are mapped into memory and checked, not copied.
///
/// Do not change or truncate the files while a checkpoint, or a tensor from it, is in use.
/// Replacing a file by renaming another over it is safe.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Vec<PathBuf>,
    maps: Vec<bytes::Bytes>,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
    pickled: bool,
}

impl Checkpoint {
    /// Opens `model.safetensors` in `folder`, otherwise the shards that
    /// `model.safetensors.index.json` names, otherwise the only `.safetensors` file, otherwise the
    /// only `.pth` file.
    ///
    /// # Errors
    /// If the folder holds no weights or several models, if a file can't be read, or if files are
    /// broken. The last error lists every problem of every file.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        if !folder.is_dir() {
            return Err(CheckpointError::NotAFolder {
                path: folder.to_owned(),
            });
        }
        // A dangling link counts as present, so that it is reported and not ignored.
        if folder.join(SINGLE_FILE).symlink_metadata().is_ok() {
            return Self::open_files(folder, &[SINGLE_FILE.to_owned()], None);
        }
        if let Some(shards) = index::read(folder)? {
            let names: Vec<String> = shards.keys().cloned().collect();
            return Self::open_files(folder, &names, Some(&shards));
        }
        let files = index::candidates(folder);
        match files.len() {
            0 => Err(CheckpointError::NoWeights {
                folder: folder.to_owned(),
                hint: index::hint(folder),
            }),
            1 => Self::open_files(folder, &files, None),
            _ => Err(CheckpointError::Several {
                folder: folder.to_owned(),
                files,
            }),
        }
    }

    /// Opens one file of any name: safetensors, or a dict of tensors that `torch.save` wrote. That
    /// dict may be the only value of another dict, under `"state_dict"` or `"model"`. The content
    /// decides the format.
    ///
    /// A torch file is read as data; nothing in it is ever executed.
    ///
    /// # Errors
    /// If the file can't be read or is broken.
    pub fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut checkpoint = Self::empty(folder);
        let mut problems = Vec::new();
        if !path.is_file() {
            let problem = match path.exists() {
                true => Problem::NotAFile,
                false => Problem::Missing,
            };
            problems.push(FileProblem {
                file: name,
                problem,
            });
        } else {
            checkpoint.add_file(&name, path, &mut problems)?;
        }
        checkpoint.checked(problems)
    }

    /// Opens the file `name` of `folder`. The file may be a link only where [`open`](Self::open)
    /// accepts one.
    ///
    /// # Errors
    /// Like [`open_file`](Self::open_file).
    pub fn open_in(folder: &Path, name: &str) -> Result<Self, CheckpointError> {
        Self::open_files(folder, &[name.to_owned()], None)
    }

    /// Opens a folder with [`open`](Self::open), or a file with [`open_file`](Self::open_file).
    ///
    /// # Errors
    /// Like these functions.
    pub fn open_path(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_dir() {
            Self::open(path)
        } else {
            Self::open_file(path)
        }
    }

    fn open_files(
        folder: &Path,
        names: &[String],
        shards: Option<&index::Shards>,
    ) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self::empty(folder);
        let mut problems = Vec::new();
        for name in names {
            let resolved = index::resolve(folder, name).map_err(|source| CheckpointError::Io {
                path: folder.join(name),
                source,
            })?;
            match resolved {
                Err(problem) => problems.push(FileProblem {
                    file: name.clone(),
                    problem,
                }),
                Ok(path) => {
                    let held = checkpoint.add_file(name, &path, &mut problems)?;
                    let listed = shards.and_then(|shards| shards.get(name));
                    if let (Some(held), Some(listed)) = (held, listed) {
                        let absent = listed.difference(&held).cloned();
                        let unlisted = held.difference(listed).cloned();
                        let disagreements = absent
                            .map(|name| Problem::NotInShard { name })
                            .chain(unlisted.map(|name| Problem::NotInIndex { name }));
                        problems.extend(disagreements.map(|problem| FileProblem {
                            file: name.clone(),
                            problem,
                        }));
                    }
                }
            }
        }
        checkpoint.checked(problems)
    }

    fn empty(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            files: Vec::new(),
            maps: Vec::new(),
            tensors: BTreeMap::new(),
            metadata: BTreeMap::new(),
            pickled: false,
        }
    }

    fn checked(self, problems: Vec<FileProblem>) -> Result<Self, CheckpointError> {
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(CheckpointError::Broken {
                folder: self.folder,
                problems,
            })
        }
    }

    /// Maps a file and adds its tensors. Returns their names, unless the file is broken.
    fn add_file(
        &mut self,
        name: &str,
        path: &Path,
        problems: &mut Vec<FileProblem>,
    ) -> Result<Option<BTreeSet<String>>, CheckpointError> {
        let mut report = |problem| {
            problems.push(FileProblem {
                file: name.to_owned(),
                problem,
            });
        };
        let map = map_file(path).map_err(|source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        })?;
        let index = self.files.len();
        let parsed = match pth::is_pth(&map) {
            Ok(true) => {
                self.pickled = true;
                pth::parse(&map, index)
            }
            Ok(false) => header::parse(&map, index),
            Err(problem) => Err(vec![problem.into()]),
        };
        let header = match parsed {
            Ok(header) => header,
            Err(found) => {
                found.into_iter().for_each(report);
                return Ok(None);
            }
        };
        self.files.push(path.to_owned());
        self.maps.push(map);
        self.metadata.extend(header.metadata);
        let mut held = BTreeSet::new();
        for (tensor, info) in header.tensors {
            if let Some(first) = self.tensors.get(&tensor) {
                let other = self.files[first.file].file_name().unwrap_or_default();
                report(Problem::InTwoShards {
                    name: tensor.clone(),
                    other: other.to_string_lossy().into_owned(),
                });
            } else {
                self.tensors.insert(tensor.clone(), info);
            }
            held.insert(tensor);
        }
        Ok(Some(held))
    }

    /// Returns the opened folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the files that hold the tensors.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Returns whether a file was written by `torch.save`, and not as safetensors.
    pub fn is_pickled(&self) -> bool {
        self.pickled
    }

    /// Returns the free-form strings in the files' headers.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Returns all tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// Returns a tensor's shape, type and size; `None` if it does not exist.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// Returns the bytes of all tensors together.
    pub fn total_bytes(&self) -> usize {
        self.tensors.values().map(|info| info.bytes).sum()
    }

    /// Returns a tensor's data in its stored type, row by row. It is a view of the mapped file,
    /// which stays mapped while the data is in use. If the tensor is not contiguous in the file, it
    /// is a copy.
    ///
    /// # Errors
    /// If the tensor does not exist, or burn has no type for its elements.
    pub fn data(&self, name: &str) -> Result<TensorData, CheckpointError> {
        let Some(info) = self.get(name) else {
            return Err(CheckpointError::NoTensor {
                folder: self.folder.clone(),
                name: name.to_owned(),
            });
        };
        let Some(dtype) = burn_dtype(info.dtype) else {
            return Err(CheckpointError::UnreadableDtype {
                folder: self.folder.clone(),
                name: name.to_owned(),
                dtype: info.dtype,
            });
        };
        let map = &self.maps[info.file];
        if let Some(strides) = &info.strides {
            let bytes = strided::gather(&map[info.start..], &info.shape, strides, dtype.size());
            let bytes = Bytes::from_bytes_vec(bytes);
            return Ok(TensorData::from_bytes(bytes, info.shape.clone(), dtype));
        }
        let view = map.slice(info.start..info.start + info.bytes);
        let bytes = if view.as_ptr().align_offset(dtype.size()) == 0 {
            Bytes::from_shared(view, AllocationProperty::File)
        } else {
            // No format guarantees alignment (a header may have any length), and elements can't be
            // read in place from an address that is not a multiple of their size.
            Bytes::from_bytes_vec(view.to_vec())
        };
        Ok(TensorData::from_bytes(bytes, info.shape.clone(), dtype))
    }
}

fn map_file(path: &Path) -> std::io::Result<bytes::Bytes> {
    let file = File::open(path)?;
    // SAFETY: the map is only read, and only through `bytes::Bytes`, which keeps it alive. No
    // system call can prevent changes to the file meanwhile. The type's documentation requires the
    // caller to avoid them, like every memory-mapped reader of weights.
    let map = unsafe { Mmap::map(&file)? };
    Ok(bytes::Bytes::from_owner(map))
}

/// Returns burn's type for a stored element type, if burn has one.
pub fn burn_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        _ => return None,
    })
}
