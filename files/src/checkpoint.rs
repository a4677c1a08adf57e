//! A folder or file of weights, mapped and checked.

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

pub use error::{CheckpointError, FileProblem, Lines, Problem};
pub use header::json_object;
pub use index::resolve;
pub use pth::{PthProblem, save_pth};
pub use writer::{Planned, SaveError, Writer, file_dtype, save, save_streamed, sync_folder};

/// File name of a checkpoint in one piece.
pub const SINGLE_FILE: &str = "model.safetensors";
/// File name of the index of a checkpoint in shards.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

// The formats are little endian and their bytes are used in place.
const _: () = assert!(
    cfg!(target_endian = "little"),
    "files of weights are used in place, which needs a little-endian machine"
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
    /// Elements between neighbours along each dimension; `None` where the elements lie one after
    /// another, row by row.
    strides: Option<Vec<usize>>,
}

/// An open model folder or file: the files mapped into memory and checked, nothing copied.
///
/// The files must not be changed or truncated while a checkpoint, or a tensor from it, is in use;
/// replacing a file by renaming another over it is fine.
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
    /// Opens `model.safetensors` in `folder`, or else the shards that
    /// `model.safetensors.index.json` names, or else the one `.safetensors` file there is, or else
    /// the one `.pth` file.
    ///
    /// # Errors
    /// When the folder holds no weights or several models, a file can't be read, or files are
    /// broken; the last lists every problem of every file.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        if !folder.is_dir() {
            return Err(CheckpointError::NotAFolder {
                path: folder.to_owned(),
            });
        }
        // A dangling link counts as there, so that it is reported rather than passed over.
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

    /// Opens one file of any name: safetensors, or a dict of tensors that `torch.save` wrote, which
    /// may be the only value, under `"state_dict"` or `"model"`, of another dict. Which of the two
    /// it is shows in its content.
    ///
    /// A file by torch is read as data: nothing in it is ever executed.
    ///
    /// # Errors
    /// When it can't be read or is broken.
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

    /// Opens the file `name` of `folder`, which may be a link only where [`open`](Self::open)
    /// takes one.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file).
    pub fn open_in(folder: &Path, name: &str) -> Result<Self, CheckpointError> {
        Self::open_files(folder, &[name.to_owned()], None)
    }

    /// Opens a folder, as [`open`](Self::open), or a file, as [`open_file`](Self::open_file).
    ///
    /// # Errors
    /// As there.
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

    /// Maps a file and takes in its tensors; gives their names unless the file is broken.
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

    /// The folder opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files the tensors are in.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether a file of it is `torch.save`'s, and not safetensors.
    pub fn is_pickled(&self) -> bool {
        self.pickled
    }

    /// The free-form strings in the files' headers.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info))
    }

    /// A tensor's shape, type and size, if there is such a tensor.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// Bytes of all tensors together.
    pub fn total_bytes(&self) -> usize {
        self.tensors.values().map(|info| info.bytes).sum()
    }

    /// A tensor's data in its stored type, row by row: a view of the mapped file, which stays mapped
    /// as long as the data is in use, or a copy where the elements do not lie so in the file.
    ///
    /// # Errors
    /// When there is no such tensor, or burn has no type for its elements.
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
            // No format promises alignment (a header may have any length), and elements
            // can't be read in place from an address that is not a multiple of their size.
            Bytes::from_bytes_vec(view.to_vec())
        };
        Ok(TensorData::from_bytes(bytes, info.shape.clone(), dtype))
    }
}

fn map_file(path: &Path) -> std::io::Result<bytes::Bytes> {
    let file = File::open(path)?;
    // SAFETY: the map is only read, and only through `bytes::Bytes`, which keeps it alive. That
    // the file isn't changed meanwhile can't be enforced by any system call; the type's
    // documentation asks it of the caller, as every memory-mapped reader of weights does.
    let map = unsafe { Mmap::map(&file)? };
    Ok(bytes::Bytes::from_owner(map))
}

/// burn's name for a stored element type, where it has one.
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
