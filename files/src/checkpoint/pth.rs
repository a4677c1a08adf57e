//! Reads files that `torch.save` writes (`.pth`, `.pt`, `.bin`) as data; nothing in them is ever
//! executed.
//!
//! Such a file is an uncompressed zip archive. `NAME/data.pkl` is a pickle of the dict of tensors,
//! and `NAME/data/KEY` holds the numbers. Tensors are views of these, with an offset and strides.
//! Contiguous tensors are used in place. As with safetensors, checksums of the numbers are not
//! verified, because that would read the whole file.

mod archive;
mod pickle;
mod problem;
#[cfg(test)]
mod tests;
mod value;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

pub use problem::PthProblem;
pub use write::save_pth;

use super::error::Problem;
use super::header::Header;
use super::strided::{Misplaced, place};
use super::{Dtype, TensorInfo};
use pickle::Pickle;
use value::{Node, StoredTensor};

/// Keys of an outer dict that may contain the state dict.
const WRAPPERS: [&str; 2] = ["state_dict", "model"];
/// Most entries listed that are not tensors.
const MAX_LISTED: usize = 16;
/// Largest tensor bytes, as a multiple of the file's plus [`MAX_REPEATED`]. Tensors may share data
/// (tied embeddings share all of it), and may repeat small vectors.
const MAX_SHARING: u64 = 4;
const MAX_REPEATED: u64 = 64 << 20;

/// Position of the first byte of safetensors' JSON, which is always a brace.
const JSON_START: usize = 8;
/// The pickled number at the start of every file of torch before 1.6.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Returns whether `file`, the bytes of a whole file, was written by torch and is not safetensors.
/// The content decides, because both may have any name.
///
/// # Errors
/// If it has one of torch's older formats, or is a pickle of another program.
pub(super) fn is_pth(file: &[u8]) -> Result<bool, PthProblem> {
    let old = |what| Err(PthProblem::OldFormat { what });
    match file {
        _ if file.get(JSON_START) == Some(&b'{') => Ok(false),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(true),
        _ if file.starts_with(LEGACY) => old("a file of torch before 1.6"),
        _ if file.get(257..262) == Some(b"ustar") => old("a tar archive"),
        [0x80, 2..=5, ..] if file.last() == Some(&b'.') => old("a bare pickle"),
        _ => Ok(false),
    }
}

/// Reads and checks the directory and the pickle of a file. `file` holds its bytes; `file_index` is
/// its number in the checkpoint.
pub(super) fn parse(file: &[u8], file_index: usize) -> Result<Header, Vec<Problem>> {
    let Archive { pickle, storages } = open(file)?;
    let pickle = pickle::read(pickle).map_err(one)?;

    let mut problems = Vec::new();
    let mut tensors = Vec::new();
    for (name, tensor) in stored_tensors(&pickle)? {
        match locate(name, tensor, storages.get(tensor.storage.key)) {
            Ok(info) => tensors.push((
                name.to_owned(),
                TensorInfo {
                    file: file_index,
                    ..info
                },
            )),
            Err(problem) => problems.push(problem),
        }
    }
    let len = file.len() as u64;
    let total = tensors
        .iter()
        .fold(0u64, |sum, (_, info)| sum.saturating_add(info.bytes as u64));
    if total > len.saturating_mul(MAX_SHARING).saturating_add(MAX_REPEATED) {
        problems.push(PthProblem::TooLarge { total, len }.into());
    }
    match problems.is_empty() {
        true => Ok(Header {
            metadata: BTreeMap::new(),
            tensors,
        }),
        false => Err(problems),
    }
}

fn one(problem: PthProblem) -> Vec<Problem> {
    vec![problem.into()]
}

/// The parts of a file that matter.
struct Archive<'a> {
    /// `data.pkl`.
    pickle: &'a [u8],
    /// Places of the entries in `data/`, by name.
    storages: BTreeMap<&'a str, Range<usize>>,
}

/// Opens the archive `file`; all entries are in the folder of the only `data.pkl`.
fn open(file: &[u8]) -> Result<Archive<'_>, Vec<Problem>> {
    let entries = archive::entries(file).map_err(one)?;
    let pickles: Vec<(&str, &Range<usize>)> = entries
        .iter()
        .filter_map(|(name, place)| Some((name.strip_suffix("/data.pkl")?, place)))
        .collect();
    let &[(root, pickle)] = &pickles[..] else {
        let found = pickles.len();
        return Err(one(PthProblem::NoPickle { found }));
    };
    let mut storages = BTreeMap::new();
    for (name, place) in &entries {
        match name
            .strip_prefix(root)
            .and_then(|name| name.strip_prefix('/'))
        {
            // torch before 2.1 does not record the byte order; its files come from little-endian
            // machines.
            Some("byteorder") if &file[place.clone()] != b"little" => {
                let order = &file[place.clone()];
                let found = String::from_utf8_lossy(&order[..order.len().min(16)]).into_owned();
                return Err(one(PthProblem::ByteOrder { found }));
            }
            Some(name) => {
                storages.extend(name.strip_prefix("data/").map(|key| (key, place.clone())));
            }
            None => {}
        }
    }
    Ok(Archive {
        pickle: &file[pickle.clone()],
        storages,
    })
}

/// Returns the tensors of a pickle: a flat dict of tensors, or a dict that holds only such a dict
/// under one of [`WRAPPERS`].
fn stored_tensors<'p, 'a>(
    pickle: &'p Pickle<'a>,
) -> Result<Vec<(&'a str, &'p StoredTensor<'a>)>, Vec<Problem>> {
    let entries = match pickle.get(pickle.root) {
        Node::Dict(entries) => entries,
        other => {
            let found = other.describe();
            return Err(one(PthProblem::NotADict { found }));
        }
    };
    let inner = match entries[..] {
        [(key, value)] => match (pickle.get(key), pickle.get(value)) {
            (Node::Str(key), Node::Dict(inner)) if WRAPPERS.contains(key) => Some(inner),
            _ => None,
        },
        _ => None,
    };
    let mut found = Vec::new();
    let mut names = HashSet::new();
    // Repeating a name costs an attacker two bytes, so each is listed once.
    let mut duplicates = BTreeSet::new();
    let (mut others, mut left_out) = (Vec::new(), 0);
    for &(key, value) in inner.unwrap_or(entries) {
        match (pickle.get(key), pickle.get(value)) {
            (&Node::Str(name), _) if !names.insert(name) => drop(duplicates.insert(name)),
            (&Node::Str(name), Node::Tensor(tensor)) => found.push((name, tensor)),
            _ if others.len() == MAX_LISTED => left_out += 1,
            (Node::Str(name), other) => others.push(format!("{name:?} ({})", other.describe())),
            (key, _) => others.push(format!("an entry whose key is {}", key.describe())),
        }
    }
    if left_out > 0 {
        others.push(format!("and {left_out} more"));
    }
    let mut problems: Vec<Problem> = duplicates
        .into_iter()
        .map(|name| Problem::Duplicate {
            name: name.to_owned(),
        })
        .collect();
    if !others.is_empty() {
        problems.push(PthProblem::NotTensors { entries: others }.into());
    }
    match problems.is_empty() {
        true => Ok(found),
        false => Err(problems),
    }
}

/// Returns the place of a tensor in the file; its storage is at `storage`.
fn locate(
    name: &str,
    tensor: &StoredTensor<'_>,
    storage: Option<&Range<usize>>,
) -> Result<TensorInfo, Problem> {
    let StoredTensor {
        storage: stored,
        offset,
        shape,
        strides,
    } = tensor;
    let Some(storage) = storage else {
        return Err(PthProblem::NoStorage {
            name: name.to_owned(),
            key: stored.key.to_owned(),
        }
        .into());
    };
    let size = stored.dtype.bitsize() / 8;
    let len = stored.elements.checked_mul(size as u64);
    let placed = match len {
        Some(len) if len <= storage.len() as u64 => {
            place(shape, strides, *offset, size, storage.clone())
        }
        _ => Err(Misplaced::OutOfStorage),
    };
    match placed {
        Ok(place) => Ok(TensorInfo {
            shape: place.shape,
            dtype: stored.dtype,
            bytes: place.bytes,
            file: 0,
            start: place.start,
            strides: place.strides,
        }),
        Err(Misplaced::Overflow) => Err(Problem::ShapeOverflow {
            name: name.to_owned(),
            shape: shape.clone(),
        }),
        Err(Misplaced::OutOfStorage) => Err(PthProblem::OutOfStorage {
            name: name.to_owned(),
            shape: shape.clone(),
            strides: strides.clone(),
            offset: *offset,
            len: storage.len() as u64,
        }
        .into()),
    }
}
