//! What can be wrong with indexed files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use bone_files::wording::and_more;

/// Indexed files that cannot be read or written.
#[derive(Debug, Error)]
pub enum BinidxError {
    /// A file cannot be opened, read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// One of the two files, or both, are not there.
    #[error("there is no {}: indexed tokens are two files, NAME.bin and NAME.idx", list(.0))]
    Missing(Vec<PathBuf>),
    /// A file of another kind.
    #[error("{}: not an index of tokens: {what}", .path.display())]
    NotAnIndex {
        /// The index.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// An index that is too short or too long for what it says it has.
    #[error(
        "{}: damaged: an index of {sequences} sequences and {documents} document entries has {} \
         bytes and not {bytes}; make it again", .path.display(), length(*.sequences, *.documents)
    )]
    Length {
        /// The index.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// How many sequences it says there are.
        sequences: u64,
        /// How many entries of documents it says there are.
        documents: u64,
    },
    /// Sequences that are not in the file of tokens.
    #[error(
        "{}: {total} of its sequences cannot be: {}; make it again, together with the tokens",
        .path.display(), offenders(.shown, *.total)
    )]
    Sequences {
        /// The index.
        path: PathBuf,
        /// The first of them, with their numbers from 0.
        shown: Vec<(usize, SequenceProblem)>,
        /// How many there are.
        total: usize,
    },
    /// A sequence that is asked for and not there.
    #[error("{}: there is no sequence {sequence}, there are {len}", .path.display())]
    NoSuchSequence {
        /// The index.
        path: PathBuf,
        /// Its number, from 0.
        sequence: usize,
        /// How many there are.
        len: usize,
    },
    /// Numbers that are no tokens.
    #[error(
        "{}: {total} of the tokens of sequence {sequence} are negative or above 2^32, the first \
         of them {value} at {place}", .path.display()
    )]
    Tokens {
        /// The file of tokens.
        path: PathBuf,
        /// The sequence's number, from 0.
        sequence: usize,
        /// How many there are in what was read.
        total: usize,
        /// The first of them.
        value: i64,
        /// Its place in the sequence, from 0.
        place: usize,
    },
    /// Files that would be written over.
    #[error("{} would be written over: choose another name or remove it", list(.0))]
    Exists(Vec<PathBuf>),
    /// A vocabulary that no type holds.
    #[error("a vocabulary of {0} tokens is too large for these files, which have at most 2^31")]
    Vocabulary(usize),
    /// A sequence of nothing.
    #[error("sequence {sequence} has no tokens: leave it out")]
    EmptySequence {
        /// Its number, from 0.
        sequence: usize,
    },
    /// A sequence that is longer than an index can say.
    #[error("sequence {sequence} has {len} tokens, and an index counts to 2^31 - 1: cut it")]
    LongSequence {
        /// Its number, from 0.
        sequence: usize,
        /// How many it has.
        len: usize,
    },
    /// Tokens to be written that the vocabulary does not have.
    #[error(
        "{total} of the tokens of sequence {sequence} are not in the vocabulary of {vocab_size}, \
         the first of them {token} at {place}"
    )]
    BeyondVocabulary {
        /// The sequence's number, from 0.
        sequence: usize,
        /// How many there are.
        total: usize,
        /// The first of them.
        token: u32,
        /// Its place in the sequence, from 0.
        place: usize,
        /// How many tokens there are to choose from.
        vocab_size: usize,
    },
    /// Nothing to be written.
    #[error("{}: no sequence was written", .0.display())]
    Nothing(PathBuf),
    /// Writing goes on after it has failed.
    #[error("{}: writing has failed before: begin again", .0.display())]
    Broken(PathBuf),
}

/// Why a sequence cannot be where an index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceProblem {
    /// Fewer tokens than none.
    Size(i32),
    /// It begins before the file.
    Start(i64),
    /// It goes on behind the file's end.
    End {
        /// Where it ends, in bytes; more than can be said where there is none.
        end: Option<u64>,
        /// How long the file is.
        bytes: u64,
    },
}

impl fmt::Display for SequenceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "has {size} tokens"),
            Self::Start(start) => write!(f, "begins at byte {start}"),
            Self::End {
                end: Some(end),
                bytes,
            } => write!(f, "ends at byte {end} of {bytes}"),
            Self::End { end: None, bytes } => {
                write!(f, "ends far behind the last of {bytes} bytes")
            }
        }
    }
}

impl BinidxError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + Copy + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(" and ")
}

/// Bytes before the sizes.
pub(super) const HEADER: usize = 34;

/// Bytes of an index without kinds of input.
pub(super) fn length(sequences: u64, documents: u64) -> u128 {
    HEADER as u128 + 12 * u128::from(sequences) + 8 * u128::from(documents)
}

fn offenders(shown: &[(usize, SequenceProblem)], total: usize) -> String {
    let sequence = |(number, problem): &(_, _)| format!("sequence {number} {problem}");
    and_more(shown.iter().map(sequence), total).join(", ")
}
