//! The values in a pickle of a checkpoint.

use super::Dtype;

/// Number of a node, in the order of creation.
pub(super) type Ref = u32;

/// A value. Containers hold the numbers of their members. So the reader never copies a value or
/// recurses, even if a file nests or shares values or contains cycles.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Str(&'a str),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    /// An object that is not in [`Global`], or anything made from one.
    Refused,
    Storage(Storage<'a>),
    Tensor(StoredTensor<'a>),
}

impl Node<'_> {
    /// Returns a description of the value.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "an int",
            Self::Float => "a float",
            Self::Str(_) => "a string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(_) | Self::Refused => "a Python object",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// The known Python objects, each of which represents data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch", storage) => Self::Storage(match storage {
                "DoubleStorage" => Dtype::F64,
                "FloatStorage" => Dtype::F32,
                "HalfStorage" => Dtype::F16,
                "BFloat16Storage" => Dtype::BF16,
                "LongStorage" => Dtype::I64,
                "IntStorage" => Dtype::I32,
                "ShortStorage" => Dtype::I16,
                "CharStorage" => Dtype::I8,
                "ByteStorage" => Dtype::U8,
                "BoolStorage" => Dtype::BOOL,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// Numbers in an entry of the archive, which several tensors may share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    /// Name of the entry within `data/`.
    pub(super) key: &'a str,
    /// Number of elements that it should hold.
    pub(super) elements: u64,
}

/// A view of a storage; offset and strides are in elements.
#[derive(Debug, Clone)]
pub(super) struct StoredTensor<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}
