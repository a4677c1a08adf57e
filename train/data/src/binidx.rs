//! Tokens in the indexed files of RWKV and Megatron, `X.bin` with `X.idx`.
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
//! Megatron-LM's `indexed_dataset.py` and RWKV-LM's `binidx.py` read this format. The reader here ignores
//! documents. The writer makes each sequence a document, as RWKV's tools do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

mod index;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::Binidx;
pub use writer::{Summary, Writer};

/// The first bytes of an index.
const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
/// The only existing version.
const VERSION: u64 = 1;

/// How the sequences of a binidx become rows of a batch.
///
/// RWKV-PEFT has the same two ways. In both a sequence is a sample, cut at `max_seq_len`. The loss is the
/// same; the amount of computation differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// Every row is padded to `max_seq_len`, so that all batches have one shape.
    Pad,
    /// Rows are only padded to the longest sequence of their batch.
    #[default]
    Only,
}

/// Type of the stored tokens, by its number in an index. 6 and 7 are floating-point types, which cannot
/// hold tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Unsigned, 1 byte.
    U8 = 1,
    /// Signed, 1 byte.
    I8 = 2,
    /// Signed, 2 bytes.
    I16 = 3,
    /// Signed, 4 bytes.
    I32 = 4,
    /// Signed, 8 bytes.
    I64 = 5,
    /// Unsigned, 2 bytes.
    U16 = 8,
}

impl Dtype {
    /// Returns the number of bytes per token.
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
        Some(match code {
            1 => Self::U8,
            2 => Self::I8,
            3 => Self::I16,
            4 => Self::I32,
            5 => Self::I64,
            8 => Self::U16,
            _ => return None,
        })
    }
}

/// Returns the paths of `X.bin` and `X.idx`, from `X` or either of them.
fn paths(path: &Path) -> (PathBuf, PathBuf) {
    let ends = path.extension().and_then(|ending| ending.to_str());
    let stem = match ends {
        Some("bin" | "idx") => path.with_extension(""),
        _ => path.to_owned(),
    };
    (with_ending(&stem, ".bin"), with_ending(&stem, ".idx"))
}

/// Appends `ending` to the name of `path`. The name may contain dots.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn list(paths: &[&PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(" and ")
}
