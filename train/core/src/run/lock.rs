//! One run for an output folder.

use crate::layout::LOCK;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why a folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it.
    #[error(
        "{}: another run writes into this folder{owner}; wait for it, stop it, or give another folder",
        out.display()
    )]
    Taken {
        /// The folder.
        out: PathBuf,
        /// Its process, in words.
        owner: String,
    },
    /// The file system does not let it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// An output folder that this process alone writes into. The system lets go of it when the process ends,
/// whatever ends it, so that a lock is never stale; the file stays, and says who had it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder `out`, which is there.
    ///
    /// # Errors
    ///
    /// [`LockError`].
    pub fn take(out: &Path) -> Result<Self, LockError> {
        let path = out.join(LOCK);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(out, &file)),
            // A file system without locks: nothing is known of others there.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let host = sysinfo::System::host_name().unwrap_or_else(|| "unknown".to_owned());
        let text = format!("process {} on {host}\n", std::process::id());
        // Where there is no room for it, nothing is said of who has it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()));
        Ok(Self { _file: file })
    }

    /// The run that writes into the folder `out` now, if one does.
    pub fn owner(out: &Path) -> Option<LockError> {
        let file = File::open(out.join(LOCK)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(taken(out, &file)),
            _ => None,
        }
    }
}

fn taken(out: &Path, file: &File) -> LockError {
    let mut owner = String::new();
    let _ = file.take(200).read_to_string(&mut owner);
    let owner = match owner.trim() {
        "" => String::new(),
        owner => format!(": {owner}"),
    };
    let out = out.to_path_buf();
    LockError::Taken { out, owner }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_runs() {
        let out = tempfile::tempdir().unwrap();
        assert!(Lock::owner(out.path()).is_none());
        let held = Lock::take(out.path()).unwrap();
        assert!(Lock::owner(out.path()).is_some());
        let error = Lock::take(out.path()).unwrap_err().to_string();
        let own = format!("process {}", std::process::id());
        assert!(
            error.contains("another run") && error.contains(&own),
            "{error}"
        );
        drop(held);
        assert!(Lock::owner(out.path()).is_none());
        Lock::take(out.path()).unwrap();
    }

    #[test]
    fn who_died_has_nothing() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join(LOCK), "process 1 on nowhere\n").unwrap();
        Lock::take(out.path()).unwrap();
    }
}
