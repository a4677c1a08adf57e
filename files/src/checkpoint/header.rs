//! The header of a safetensors file: 8 bytes of length (little endian), then JSON.
//!
//! The `safetensors` crate is not used to read it, because it keeps the last of two tensors of one
//! name, and stops at the first problem.

use crate::wording::joined;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

use super::error::Problem;
use super::{Dtype, TensorInfo};

/// Longest header read, the limit of the format's reference implementation.
pub(super) const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes before the JSON.
pub(super) const LENGTH_BYTES: usize = 8;
/// Key of the free-form strings beside the tensors.
pub(super) const METADATA_KEY: &str = "__metadata__";

/// A header that has been checked against its file: every tensor lies within it.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    /// In the file's order; offsets are from the start of the file.
    pub(super) tensors: Vec<(String, TensorInfo)>,
}

/// A value of a JSON object whose type may depend on its key.
pub(super) trait Entry: Sized {
    /// Reads the value of `name`, the next value in `map`.
    fn read<'de, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Self, A::Error>;
}

impl Entry for String {
    fn read<'de, A: MapAccess<'de>>(_name: &str, map: &mut A) -> Result<Self, A::Error> {
        map.next_value()
    }
}

impl Entry for serde_json::Value {
    fn read<'de, A: MapAccess<'de>>(_name: &str, map: &mut A) -> Result<Self, A::Error> {
        map.next_value()
    }
}

/// Reads a JSON object and refuses duplicate names, because other readers might choose the other
/// value.
///
/// # Errors
///
/// The text is not an object, or has duplicate names; all of them are listed.
pub fn json_object(json: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    let entries: Entries<serde_json::Value> =
        serde_json::from_slice(json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => format!("not a JSON object: {error}"),
            _ => format!("invalid JSON: {error}"),
        })?;
    let twice = entries.duplicates();
    match twice.is_empty() {
        true => Ok(entries.0.into_iter().collect()),
        false => Err(joined(twice, "; ")),
    }
}

/// A JSON object in the order written, including duplicate names.
pub(super) struct Entries<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Entry> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(PhantomData<T>);
        impl<'de, T: Entry> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = T::read(&name, &mut map)
                        .map_err(|error| A::Error::custom(format!("at {name:?}: {error}")))?;
                    entries.push((name, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

impl<T> Entries<T> {
    /// Returns one problem for each name that occurs again.
    pub(super) fn duplicates(&self) -> Vec<Problem> {
        let mut seen = HashSet::new();
        self.0
            .iter()
            .filter(|(name, _)| !seen.insert(name.as_str()))
            .map(|(name, _)| Problem::Duplicate { name: name.clone() })
            .collect()
    }
}

#[derive(serde::Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

enum RawEntry {
    Tensor(RawTensor),
    Metadata(BTreeMap<String, String>),
}

impl Entry for RawEntry {
    fn read<'de, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<Self, A::Error> {
        if name == METADATA_KEY {
            map.next_value().map(RawEntry::Metadata)
        } else {
            map.next_value().map(RawEntry::Tensor)
        }
    }
}

/// The start of the text that Git LFS keeps in place of a file.
pub const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Reads and checks the header of a file. `file` holds its bytes; `file_index` is its number in the
/// checkpoint.
pub(super) fn parse(file: &[u8], file_index: usize) -> Result<Header, Vec<Problem>> {
    if file.starts_with(LFS_POINTER) {
        return Err(vec![Problem::LfsPointer]);
    }
    let len = file.len() as u64;
    let Some(length_bytes) = file.first_chunk::<LENGTH_BYTES>() else {
        return Err(vec![Problem::TooShort { len }]);
    };
    let header_len = u64::from_le_bytes(*length_bytes);
    if header_len > MAX_HEADER_BYTES {
        return Err(vec![Problem::HeaderTooLong {
            len: header_len,
            max: MAX_HEADER_BYTES,
        }]);
    }
    // At most 100 MB, so this neither overflows nor is truncated on any machine.
    let data_start = LENGTH_BYTES + header_len as usize;
    let Some(json) = file.get(LENGTH_BYTES..data_start) else {
        return Err(vec![Problem::HeaderPastEnd {
            needed: data_start as u64,
            len,
        }]);
    };
    let entries: Entries<RawEntry> = serde_json::from_slice(json).map_err(|error| {
        vec![Problem::Json {
            reason: error.to_string(),
        }]
    })?;

    let mut problems = entries.duplicates();
    let mut metadata = BTreeMap::new();
    let mut tensors = Vec::with_capacity(entries.0.len());
    for (name, entry) in entries.0 {
        match entry {
            RawEntry::Metadata(strings) => metadata = strings,
            RawEntry::Tensor(raw) => match check(&name, raw, data_start, len) {
                Ok(info) => tensors.push((
                    name,
                    TensorInfo {
                        file: file_index,
                        ..info
                    },
                )),
                Err(problem) => problems.push(problem),
            },
        }
    }
    // If entries were left out, their bytes would be reported as holes.
    if problems.is_empty() {
        problems = uncovered(&tensors, data_start, file.len());
    }
    if problems.is_empty() {
        Ok(Header { metadata, tensors })
    } else {
        Err(problems)
    }
}

fn check(name: &str, raw: RawTensor, data_start: usize, len: u64) -> Result<TensorInfo, Problem> {
    let name = || name.to_owned();
    let deserializer: StrDeserializer<'_, ValueError> = raw.dtype.as_str().into_deserializer();
    let Ok(dtype) = Dtype::deserialize(deserializer) else {
        return Err(Problem::UnknownDtype {
            name: name(),
            dtype: raw.dtype,
        });
    };
    let (begin, end) = raw.data_offsets;
    let Some(bytes) = end.checked_sub(begin) else {
        return Err(Problem::Reversed {
            name: name(),
            begin,
            end,
        });
    };
    let data_len = len - data_start as u64;
    if end > data_len {
        return Err(Problem::PastEnd {
            name: name(),
            end,
            len: data_len,
        });
    }
    let shape = raw
        .shape
        .iter()
        .map(|&dim| usize::try_from(dim).ok())
        .collect::<Option<Vec<_>>>();
    let needed = raw
        .shape
        .iter()
        .try_fold(dtype.bitsize() as u64, |bits, &dim| bits.checked_mul(dim));
    let (Some(shape), Some(needed)) = (shape, needed) else {
        return Err(Problem::ShapeOverflow {
            name: name(),
            shape: raw.shape,
        });
    };
    if bytes.checked_mul(8) != Some(needed) {
        return Err(Problem::WrongSize {
            name: name(),
            shape: raw.shape,
            dtype,
            needed,
            bytes,
        });
    }
    // Both are at most the length of a file that fits into the address space.
    Ok(TensorInfo {
        shape,
        dtype,
        bytes: bytes as usize,
        file: 0,
        start: data_start + begin as usize,
        strides: None,
    })
}

/// Finds tensors that overlap, and bytes of the data that belong to no tensor.
fn uncovered(tensors: &[(String, TensorInfo)], data_start: usize, len: usize) -> Vec<Problem> {
    let mut order: Vec<_> = tensors.iter().collect();
    order.sort_by_key(|(_, info)| (info.start, info.bytes));
    let mut problems = Vec::new();
    let hole = |begin: usize, end: usize| Problem::Hole {
        begin: (begin - data_start) as u64,
        end: (end - data_start) as u64,
    };
    let mut covered = data_start;
    let mut last = "";
    for (name, info) in order {
        if info.start > covered {
            problems.push(hole(covered, info.start));
        } else if info.start < covered {
            problems.push(Problem::Overlap {
                first: last.to_owned(),
                second: name.clone(),
            });
        }
        if info.start + info.bytes >= covered {
            covered = info.start + info.bytes;
            last = name;
        }
    }
    if covered < len {
        problems.push(hole(covered, len));
    }
    problems
}
