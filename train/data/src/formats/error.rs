//! What keeps a source from being read.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use bone_files::wording::{SHOWN, and_more};

/// Why reading failed, within an [`io::Error`].
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// The file could not be read.
    #[error(transparent)]
    File(io::Error),
    /// The compressed stream is wrong.
    #[error("{0}")]
    Stream(String),
    /// The compressed stream asks for too much memory.
    #[error(
        "compressed with a zstd window of more than 128 MiB: compress it again without --long=28 \
         or higher"
    )]
    Window,
}

impl Fault {
    pub(super) fn with_kind(self, kind: io::ErrorKind) -> io::Error {
        io::Error::new(kind, self)
    }
}

/// A source that cannot be found, or not be read on.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A file or folder cannot be opened or read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it begins as.
    #[error("{}: damaged: {what}; fetch or write it again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// No rows at all.
    #[error("{}: the file holds no rows", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A kind of file that is not read.
    #[error("{}: {what}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is and how to make something of it that is read.
        what: String,
    },
    /// Neither a file nor a split of a folder.
    #[error("{}: there is no such file{}", .path.display(), splits_there(.splits))]
    NotFound {
        /// What was asked for.
        path: PathBuf,
        /// What could be asked for instead.
        splits: Vec<PathBuf>,
    },
    /// A folder without data files.
    #[error(
        "{}: the folder holds no data file (a name that ends in .json, .jsonl or .parquet, \
         perhaps with .gz or .zst behind that){}", .path.display(), splits_there(.splits)
    )]
    NoData {
        /// The folder.
        path: PathBuf,
        /// Folders in it that have some.
        splits: Vec<PathBuf>,
    },
    /// A folder with several splits, none of which is `train`.
    #[error("{}: the folder has several splits{}", .path.display(), splits_there(.splits))]
    ManySplits {
        /// The folder.
        path: PathBuf,
        /// How each is written.
        splits: Vec<PathBuf>,
    },
    /// The same split in files that do not belong together.
    #[error(
        "{}: the split is there more than once, as {}: name one of the files", .path.display(),
        .sets.join(" and as ")
    )]
    Ambiguous {
        /// The split.
        path: PathBuf,
        /// The sets of files.
        sets: Vec<String>,
    },
    /// Files of a numbered set that are not there.
    #[error("{}: {} of {total} files of the split are missing: {}", .path.display(), .missing.len(), first(.missing))]
    MissingShards {
        /// The split.
        path: PathBuf,
        /// Names of those that are missing.
        missing: Vec<String>,
        /// How many there should be.
        total: u64,
    },
}

fn splits_there(splits: &[PathBuf]) -> String {
    let splits: Vec<_> = splits.iter().map(|s| s.display().to_string()).collect();
    match splits.as_slice() {
        [] => String::new(),
        [one] => format!("; there is {one}"),
        _ => format!("; write one of {}", first(&splits)),
    }
}

fn first(names: &[String]) -> String {
    and_more(names.iter().take(SHOWN).cloned(), names.len()).join(", ")
}

impl SourceError {
    /// What an error is that a reader of [`open_bytes`](super::open_bytes) gave for `path`.
    #[must_use]
    pub fn reading(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.downcast::<Fault>() {
            Ok(Fault::File(source)) | Err(source) => Self::Io { path, source },
            Ok(Fault::Stream(what)) => Self::Damaged { path, what },
            Ok(Fault::Window) => Self::Unsupported {
                path,
                what: Fault::Window.to_string(),
            },
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
