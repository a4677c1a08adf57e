use crate::wording::joined;
use thiserror::Error;

/// Problems that only a file written by `torch.save` can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PthProblem {
    /// The file was written by torch before 1.6, or is another kind of pickle or archive.
    #[error(
        "is {what}, but only zip archives (torch 1.6 or later) are supported: in Python, torch.load it \
         with weights_only=True and torch.save it again, or convert it to safetensors"
    )]
    OldFormat {
        /// The kind of file that was found.
        what: &'static str,
    },
    /// The archive's directory can't be read.
    #[error("is a damaged zip archive: {reason}; download it again")]
    Zip {
        /// What is wrong with the directory.
        reason: &'static str,
    },
    /// Entries are compressed or encrypted; torch never does this.
    #[error(
        "{count} of its entries are compressed or encrypted, the first is {first:?}; torch.save \
         does neither: unpack it and torch.save the model again"
    )]
    Compressed {
        /// The first such entry.
        first: String,
        /// Their number.
        count: usize,
    },
    /// The archive has no `data.pkl`, or several.
    #[error("has {found} entries NAME/data.pkl; a torch.save file has one")]
    NoPickle {
        /// Their number.
        found: usize,
    },
    /// The file was written on a machine of the other byte order.
    #[error(
        "its numbers are {found:?} endian, but only little-endian files are supported: torch.save \
         it on a little-endian machine, or convert it to safetensors"
    )]
    ByteOrder {
        /// The byte order that the file states.
        found: String,
    },
    /// The pickle breaks the format or a limit.
    #[error(
        "its data.pkl cannot be read at byte {at}: {reason}; download it again, or save the state_dict \
         with torch.save"
    )]
    Pickle {
        /// Position in `data.pkl`.
        at: usize,
        /// What is wrong at this position.
        reason: &'static str,
    },
    /// The pickle names Python objects that are not data.
    #[error(
        "its data.pkl names {}, which could run code when loaded. Only tensors, dicts and plain \
         values are supported: if you trust the file, load it in Python and save only its \
         state_dict, or convert it to safetensors",
        joined(names, ", ")
    )]
    Globals {
        /// The objects, as `module.name`.
        names: Vec<String>,
    },
    /// The file does not hold a dict.
    #[error("contains {found}, expected a dict of tensors: save the model's state_dict")]
    NotADict {
        /// What it holds.
        found: &'static str,
    },
    /// Entries of the dict are not tensors.
    #[error(
        "contains entries that are not tensors: {}; in Python, save only the dict of tensors",
        joined(entries, ", ")
    )]
    NotTensors {
        /// Their keys and types.
        entries: Vec<String>,
    },
    /// The data of a tensor is not in the archive.
    #[error("the data of tensor {name:?} is missing: entry data/{key}; download the file again")]
    NoStorage {
        /// The tensor.
        name: String,
        /// Name of its storage.
        key: String,
    },
    /// A tensor extends beyond its data.
    #[error(
        "tensor {name:?} of shape {shape:?}, strides {strides:?} and offset {offset} exceeds the \
         {len} bytes of its data"
    )]
    OutOfStorage {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Elements between neighbours along each dimension.
        strides: Vec<u64>,
        /// Elements before its first.
        offset: u64,
        /// Bytes of its storage.
        len: u64,
    },
    /// Tensors share or repeat so much data that reading them would exhaust the memory.
    #[error("its tensors would need {total} bytes, but the file has only {len}")]
    TooLarge {
        /// Bytes of all tensors.
        total: u64,
        /// Bytes of the file.
        len: u64,
    },
}
