//! Tokens in RWKV's and Megatron's indexed files, `X.bin` with `X.idx`.
//!
//! [`Binidx`] reads sequences of tokens, [`Writer`] writes them. Numbers are little-endian:
//!
//! ```text
//! X.idx   9 bytes   "MMIDIDX" and two zeros
//!         u64       version, 1
//!         u8        code of the tokens' type
//!         u64       n, the number of sequences
//!         u64       d, the number of entries of documents
//!         n × i32   tokens of each sequence
//!         n × i64   where each sequence begins in X.bin, in bytes
//!         d × i64   sequences before each document, and before the end
//!        (n × i8    in files for several kinds of input: the kind of each sequence)
//! X.bin             the tokens of one sequence after the other
//! ```
//!
//! This is what Megatron-LM's `indexed_dataset.py` and RWKV-LM's `binidx.py` read. Documents are
//! not looked at here, and what is written has one sequence in each, as RWKV's tools write it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

mod cut;
mod error;
mod index;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use cut::Cut;
pub use error::{BinidxError, SequenceProblem};
pub use reader::Binidx;
pub use writer::{Summary, Writer};

/// What an index begins with.
const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
/// The only version there is.
const VERSION: u64 = 1;

/// The type that tokens are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Unsigned, 1 byte; code 1.
    U8,
    /// Signed, 1 byte; code 2.
    I8,
    /// Signed, 2 bytes; code 3.
    I16,
    /// Signed, 4 bytes; code 4.
    I32,
    /// Signed, 8 bytes; code 5.
    I64,
    /// Unsigned, 2 bytes; code 8.
    U16,
}

impl Dtype {
    const ALL: [Self; 6] = [
        Self::U8,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U16,
    ];

    /// The number for it in an index. 6 and 7 are floating-point types, which hold no tokens.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::U8 => 1,
            Self::I8 => 2,
            Self::I16 => 3,
            Self::I32 => 4,
            Self::I64 => 5,
            Self::U16 => 8,
        }
    }

    /// Bytes of a token.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.code() == code)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U16 => "u16",
        })
    }
}

/// `X.bin` and `X.idx`, by `X` or either of them.
fn paths(path: &Path) -> (PathBuf, PathBuf) {
    let ends = path.extension().and_then(|ending| ending.to_str());
    let stem = match ends {
        Some("bin" | "idx") => path.with_extension(""),
        _ => path.to_owned(),
    };
    (with_ending(&stem, ".bin"), with_ending(&stem, ".idx"))
}

/// `path` with `ending` behind its name, which may have points of its own.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
