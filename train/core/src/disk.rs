//! Disk errors, and files that get their final names late.

use bone_data::human;
use bone_lm::checkpoint::sync_folder;
use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Kills this process for tests, in a way that it cannot handle.
#[allow(dead_code, reason = "called where fail points are compiled in")]
pub(crate) fn kill() {
    #[cfg(unix)]
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGKILL);
    std::process::abort();
}

/// A file or folder that could not be read or written, with the reason.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct PathError {
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// Returns a function that turns a system error into an error at `path`.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> PathError + '_ {
    move |source| PathError {
        path: path.to_path_buf(),
        source,
    }
}

/// Disk space of the smallest file or of a folder, in bytes.
const BLOCK: u64 = 4096;

/// Returns whether the disk, the quota or the file size limit is exhausted.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull)
}

/// Returns the system error behind an error, if there is one.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| {
        (*error).source()
    });
    causes.find_map(|error| error.downcast_ref::<io::Error>())
}

/// Returns whether writing may succeed later, when there is space or the disk is back. The file size limit
/// of this process does not change.
pub(crate) fn may_pass(error: &(dyn Error + 'static)) -> bool {
    cause(error).is_some_and(|cause| cause.kind() != ErrorKind::FileTooLarge)
}

/// Returns the error of writing `what` at `place`, which takes about `needed` bytes in `files` files. If
/// the disk is full, the error says what the user can do.
pub(crate) fn explained(
    error: &(dyn Error + 'static),
    (what, needed, files): (&str, u64, u64),
    place: &Path,
) -> String {
    let Some(cause) = cause(error).filter(|cause| is_full(cause)) else {
        return error.to_string();
    };
    let needed = human(needed + files * BLOCK);
    if cause.kind() != ErrorKind::StorageFull {
        // The limit of this process does not depend on the free disk space.
        return format!(
            "{error}; {what} needs about {needed}: raise the quota or the file size limit, or use another \
             folder"
        );
    }
    let place = place.ancestors().find(|place| place.exists());
    let free = place.and_then(|place| fs4::available_space(place).ok());
    let free = free.map_or(String::new(), |free| format!(", {} are free", human(free)));
    format!("{error}; {what} needs about {needed}{free}")
}

/// Returns the temporary name of a file.
pub(crate) fn partial(path: &Path) -> PathBuf {
    path.with_extension("partial")
}

/// A file under a temporary name until everything else is ready. If dropped before that, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Beside {
    partial: Option<TempPath>,
    pub(crate) path: PathBuf,
    /// The open file.
    pub(crate) file: File,
}

impl Beside {
    pub(crate) fn write(path: PathBuf, bytes: &[u8]) -> Result<Self, PathError> {
        let begin = || {
            let partial = partial(&path);
            let mut file = File::create(&partial)?;
            let partial = TempPath::try_from_path(partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            Ok((Some(partial), file))
        };
        let (partial, file) = begin().map_err(at(&path))?;
        Ok(Self {
            partial,
            path,
            file,
        })
    }

    /// Renames the file to its final name and replaces an existing file.
    pub(crate) fn take_place(&mut self) -> Result<(), PathError> {
        let Some(partial) = self.partial.take() else {
            return Ok(());
        };
        let placed = partial.persist(&self.path).map_err(|error| error.error);
        let folder = self.path.parent();
        let synced = placed.and_then(|()| folder.map_or(Ok(()), sync_folder));
        synced.map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_message_names_required_size() {
        let failed = |kind: ErrorKind| {
            let error = PathError {
                path: "a/file".into(),
                source: kind.into(),
            };
            explained(&error, ("a checkpoint", 1 << 20, 6), Path::new("/nowhere"))
        };
        let said = failed(ErrorKind::StorageFull);
        assert!(
            said.starts_with("a/file: ") && said.contains("a checkpoint needs about 1.0 MiB, "),
            "{said}"
        );
        assert!(failed(ErrorKind::QuotaExceeded).ends_with("another folder"));
        assert!(!failed(ErrorKind::NotFound).contains("needs about"));
    }
}
