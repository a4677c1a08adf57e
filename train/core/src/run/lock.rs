//! One run for an output folder.

use super::RunError;
use crate::disk::at;
use crate::layout::LOCK;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// An output folder that only this process writes into. The system releases the lock whenever the process
/// ends, so a lock is never stale. The lock file stays and names its last owner.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the existing folder `out`.
    ///
    /// # Errors
    ///
    /// Another run holds the lock, or the file system reports an error.
    pub(super) fn take(out: &Path) -> Result<Self, RunError> {
        let path = out.join(LOCK);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(out, &file)),
            // This file system has no locks, so other runs there cannot be detected.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(at(&path)(error).into()),
        }
        let host = sysinfo::System::host_name().unwrap_or_else(|| "unknown".to_owned());
        let text = format!("process {} on {host}\n", std::process::id());
        // On a full disk the file does not name the owner.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()));
        Ok(Self { _file: file })
    }

    /// Returns the error that another run is writing into the folder `out`, if one is.
    pub(super) fn owner(out: &Path) -> Option<RunError> {
        let file = File::open(out.join(LOCK)).ok()?;
        let locked = file.try_lock_shared();
        matches!(locked, Err(TryLockError::WouldBlock)).then(|| taken(out, &file))
    }
}

fn taken(out: &Path, file: &File) -> RunError {
    let mut owner = String::new();
    let _ = file.take(200).read_to_string(&mut owner);
    let owner = match owner.trim() {
        "" => String::new(),
        owner => format!(": {owner}"),
    };
    RunError::path(
        out,
        format!(
            "another run writes to this folder{owner}; wait for it, stop it, or give another folder"
        ),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn locked_folder_rejects_second_run() {
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
    fn lock_of_dead_process_is_ignored() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join(LOCK), "process 1 on nowhere\n").unwrap();
        Lock::take(out.path()).unwrap();
    }
}
