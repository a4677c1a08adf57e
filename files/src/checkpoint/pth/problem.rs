use thiserror::Error;

/// What can be wrong with a file that `torch.save` wrote, beyond what any checkpoint can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PthProblem {
    /// Written by torch before 1.6, or a pickle or an archive of another kind.
    #[error(
        "is {what}, not the zip archive that torch.save has written since torch 1.6: in Python, \
         torch.load it with weights_only=True and torch.save it again, or convert it to safetensors"
    )]
    OldFormat {
        /// What it is instead.
        what: &'static str,
    },
    /// The archive's directory can't be read.
    #[error("is no whole zip archive: {reason}; it is cut off or damaged, download it again")]
    Zip {
        /// What is wrong with the directory.
        reason: &'static str,
    },
    /// Entries are compressed or encrypted, which torch never does.
    #[error(
        "{count} of its entries are compressed or encrypted, first {first:?}, which torch.save never \
         does: unpack it and torch.save the model again"
    )]
    Compressed {
        /// The first such entry.
        first: String,
        /// Their number.
        count: usize,
    },
    /// No `data.pkl`, or several.
    #[error("holds {found} entries NAME/data.pkl, where a file by torch.save has one")]
    NoPickle {
        /// Their number.
        found: usize,
    },
    /// Written on a machine of the other byte order.
    #[error(
        "its numbers are {found:?} endian, and only little-endian files can be read: torch.save it \
         on a little-endian machine, or convert it to safetensors"
    )]
    ByteOrder {
        /// The order the file states, as written.
        found: String,
    },
    /// The pickle breaks the format or a limit.
    #[error("its data.pkl can't be read at byte {at}: {reason}")]
    Pickle {
        /// Where in `data.pkl`.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The pickle names Python objects that are not data.
    #[error(
        "its data.pkl names {}, which could run code when loaded: nothing but tensors, dicts and \
         plain values is read; where you trust the file, load it in Python and save its state_dict \
         alone, or convert it to safetensors",
        names.join(", ")
    )]
    Globals {
        /// The objects, as `module.name`.
        names: Vec<String>,
    },
    /// The file holds something else than a dict.
    #[error("holds {found} where a dict of tensors is expected: save the model's state_dict")]
    NotADict {
        /// What it holds.
        found: &'static str,
    },
    /// Entries of the dict that are no tensors.
    #[error(
        "holds entries that are no tensors: {}; in Python, save the dict of tensors alone",
        entries.join(", ")
    )]
    NotTensors {
        /// Their keys and what they are.
        entries: Vec<String>,
    },
    /// A tensor whose data is not in the archive.
    #[error("tensor {name:?} has its data in entry data/{key}, which is not in the file")]
    NoStorage {
        /// The tensor.
        name: String,
        /// Name of its storage.
        key: String,
    },
    /// A tensor that reaches beyond its data.
    #[error(
        "tensor {name:?} of shape {shape:?}, strides {strides:?} and offset {offset} does not lie \
         within the {len} bytes of its data"
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
    /// Tensors that share or repeat so much data that reading them would exhaust the memory.
    #[error("its tensors would take {total} bytes, which the {len} bytes of the file can't mean")]
    TooLarge {
        /// Bytes of all tensors.
        total: u64,
        /// Bytes of the file.
        len: u64,
    },
}
