use crate::wording::joined;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{Dtype, PthProblem};

/// Why a model folder could not be read.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The path does not exist or is not a folder.
    #[error("{} is not a folder: give the folder with the model's weights", path.display())]
    NotAFolder {
        /// The path as given.
        path: PathBuf,
    },
    /// The folder has no file of weights.
    #[error(
        "{} has no model.safetensors, model.safetensors.index.json or RWKV file: {hint}",
        folder.display()
    )]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// What to do, based on the folder's other files.
        hint: String,
    },
    /// The folder has several files of weights; none is marked as the model.
    #[error(
        "{} has several models: {}; give one of these files instead of the folder",
        folder.display(), joined(files, ", ")
    )]
    Several {
        /// The folder.
        folder: PathBuf,
        /// The files.
        files: Vec<String>,
    },
    /// A file could not be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// One or more files are broken; every problem is listed.
    #[error("the checkpoint in {} is damaged:\n  - {}", folder.display(), lines(problems))]
    Broken {
        /// The folder.
        folder: PathBuf,
        /// All problems of its files.
        problems: Vec<FileProblem>,
    },
    /// No file holds the requested tensor.
    #[error("the checkpoint in {} has no tensor {name:?}", folder.display())]
    NoTensor {
        /// The folder.
        folder: PathBuf,
        /// The requested name.
        name: String,
    },
    /// A tensor's element type has no counterpart in burn.
    #[error(
        "tensor {name:?} in {} has type {dtype}, which is not supported: convert it to F32, F16 \
         or BF16",
        folder.display()
    )]
    UnreadableDtype {
        /// The folder.
        folder: PathBuf,
        /// The tensor.
        name: String,
        /// Its type in the file.
        dtype: Dtype,
    },
}

impl CheckpointError {
    /// Returns the problem without the file's name, for a message that already names the file. For
    /// checkpoints of one file.
    pub fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } => source.to_string(),
            Self::Broken { problems, .. } => {
                let problems = problems.iter().map(|item| item.problem.to_string());
                joined(problems, "; ")
            }
            other => other.to_string(),
        }
    }
}

/// A problem of one file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file:?}: {problem}")]
pub struct FileProblem {
    /// File name within the folder, as written in the index or the folder.
    pub file: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Problems of a file of weights or an index of shards.
///
/// Names come from untrusted files and are printed escaped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file is too short to hold the length of its header.
    #[error("only {len} bytes long, neither safetensors nor a torch.save file: download it again")]
    TooShort {
        /// Length of the file in bytes.
        len: u64,
    },
    /// `git clone` without Git LFS leaves such a text in place of the file.
    #[error("is a Git LFS pointer instead of the file: run git lfs pull")]
    LfsPointer,
    /// The header is longer than any real header.
    #[error(
        "its header claims {len} bytes, but the limit is {max}: this is neither safetensors nor a \
         torch.save file"
    )]
    HeaderTooLong {
        /// Length stated in the file, in bytes.
        len: u64,
        /// Largest allowed length, in bytes.
        max: u64,
    },
    /// The header runs past the end of the file.
    #[error(
        "its header needs {needed} bytes, but the file has {len}: it is cut off (download it \
         again), or neither safetensors nor a torch.save file"
    )]
    HeaderPastEnd {
        /// Bytes up to the end of the header.
        needed: u64,
        /// Length of the file in bytes.
        len: u64,
    },
    /// The header or the index is not valid JSON of the expected form.
    #[error("invalid JSON: {reason}")]
    Json {
        /// The parser's reason.
        reason: String,
    },
    /// Two entries have the same name.
    #[error("lists tensor {name:?} more than once")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// safetensors does not have this element type.
    #[error("tensor {name:?} has the unknown dtype {dtype:?}")]
    UnknownDtype {
        /// The tensor.
        name: String,
        /// Its type as written.
        dtype: String,
    },
    /// `begin > end`.
    #[error("tensor {name:?} ends at byte {end}, before its start at byte {begin}")]
    Reversed {
        /// The tensor.
        name: String,
        /// First byte.
        begin: u64,
        /// Byte after the last.
        end: u64,
    },
    /// A tensor lies past the end of the data.
    #[error(
        "tensor {name:?} ends at byte {end}, but the data has only {len} bytes: the file is cut \
         off; download it again"
    )]
    PastEnd {
        /// The tensor.
        name: String,
        /// Byte after its last.
        end: u64,
        /// Bytes of data in the file.
        len: u64,
    },
    /// The shape's size overflows.
    #[error("tensor {name:?} has an invalid shape {shape:?}")]
    ShapeOverflow {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// Shape and dtype need another number of bytes than the offsets give the tensor.
    #[error(
        "tensor {name:?} of shape {shape:?} and {dtype} needs {needed} bits but has {bytes} bytes"
    )]
    WrongSize {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Its type.
        dtype: Dtype,
        /// Bits that shape and type need.
        needed: u64,
        /// Bytes that the offsets give it.
        bytes: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors {first:?} and {second:?} overlap")]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins within it.
        second: String,
    },
    /// Bytes that belong to no tensor, which the format forbids.
    #[error("bytes {begin} to {end} of the data belong to no tensor")]
    Hole {
        /// First byte of the hole.
        begin: u64,
        /// Byte after its last.
        end: u64,
    },
    /// The index names a shard that is not a plain `.safetensors` file name.
    #[error("lists the shard {shard:?}, which is not a .safetensors file name in this folder")]
    ShardName {
        /// The shard as written.
        shard: String,
    },
    /// The file is a link to somewhere outside the folder.
    #[error("is a link out of the folder: copy the file into the folder")]
    LeavesFolder,
    /// The file does not exist.
    #[error("is missing: download it into the folder")]
    Missing,
    /// The file is a folder, a device or a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// The index places a tensor in a shard that does not hold it.
    #[error("does not contain tensor {name:?}, although the index lists it there")]
    NotInShard {
        /// The tensor.
        name: String,
    },
    /// A shard holds a tensor that the index does not place there.
    #[error("contains tensor {name:?}, although the index does not list it there")]
    NotInIndex {
        /// The tensor.
        name: String,
    },
    /// A problem that only files written by `torch.save` can have.
    #[error(transparent)]
    Pth(#[from] PthProblem),
    /// Two shards hold a tensor of the same name.
    #[error("contains tensor {name:?}, and so does {other:?}")]
    InTwoShards {
        /// The tensor.
        name: String,
        /// The other shard.
        other: String,
    },
}

/// Returns one problem per line, indented. Tensors cut off by the end of one file share a line.
fn lines(problems: &[FileProblem]) -> String {
    let mut cut_off = BTreeMap::<&str, Vec<_>>::new();
    for FileProblem { file, problem } in problems {
        if let Problem::PastEnd { name, end, len } = problem {
            cut_off.entry(file).or_default().push((end, name, len));
        }
    }
    let lines = problems.iter().filter_map(|item| {
        if !matches!(item.problem, Problem::PastEnd { .. }) {
            return Some(item.to_string());
        }
        // The line of a truncated file takes the place of its first cut-off tensor.
        let past = cut_off.remove(item.file.as_str())?;
        let (end, name, len) = past.iter().min()?;
        Some(match past.len() {
            1 => item.to_string(),
            count => format!(
                "{:?}: {count} tensors end beyond the {len} bytes of data; the first is {name:?}, at \
                 byte {end}: the file is cut off; download it again",
                item.file
            ),
        })
    });
    joined(lines, "\n  - ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_file_error_takes_a_single_line() {
        let problem = |file: &str, problem| FileProblem {
            file: file.to_owned(),
            problem,
        };
        let past = |file, name: &str, end| {
            let name = name.to_owned();
            problem(file, Problem::PastEnd { name, end, len: 8 })
        };
        let error = CheckpointError::Broken {
            folder: "m".into(),
            problems: vec![
                past("a", "late", 900),
                past("b", "only", 10),
                past("a", "early", 12),
                problem("a", Problem::Missing),
            ],
        };
        let message = error.to_string();
        let lines: Vec<_> = message.lines().collect();
        let parts: [&[&str]; 4] = [
            &[" m "],
            &["\"a\"", "2 tensors", "8 bytes", "\"early\"", "byte 12"],
            &["\"b\"", "\"only\"", "byte 10", "8 bytes"],
            &["\"a\"", "missing"],
        ];
        assert_eq!(lines.len(), parts.len(), "{message}");
        for (line, parts) in lines.iter().zip(parts) {
            for part in parts {
                assert!(line.contains(part), "{part}: {line}");
            }
        }
        assert!(!message.contains("late"), "{message}");
    }
}
