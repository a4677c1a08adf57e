//! A folder that is complete or absent.
//!
//! The files are written under a temporary name and synced to the disk. Then a list of the files with their
//! hashes is written. Then the folder gets its final name. A reader trusts only the list.

use super::list::{LIST, List, Listed};
use crate::disk::{PathError, at};
use bone_lm::checkpoint::sync_folder;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Kills the process here if a test asks for it. Called before and after every disk operation of a save.
pub(super) fn may_die() {
    fail::fail_point!("save", |_| crate::disk::kill());
}

/// A folder that is being filled. If dropped before it is complete, it leaves nothing.
#[derive(Debug)]
pub struct Unit {
    partial: PathBuf,
    folder: PathBuf,
}

impl Unit {
    /// Starts `folder`, which need not exist. Removes an unfinished earlier one.
    ///
    /// # Errors
    ///
    /// [`PathError`].
    pub fn begin(folder: &Path) -> Result<Self, PathError> {
        let partial = partial(folder);
        may_die();
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(at(&partial))?;
        }
        let place = partial.parent().filter(|place| !place.exists());
        fs::create_dir_all(&partial).map_err(at(&partial))?;
        if let Some(above) = place.and_then(Path::parent) {
            // The parent folder may be new too.
            sync_folder(above).map_err(at(above))?;
        }
        may_die();
        Ok(Self {
            partial,
            folder: folder.to_path_buf(),
        })
    }

    /// Returns the temporary folder that holds the files until the folder is complete.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes a file into the folder. Creates missing parent folders.
    ///
    /// # Errors
    ///
    /// [`PathError`].
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<(), PathError> {
        let path = self.partial.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        may_die();
        let half = bytes.len() / 2;
        let mut file = File::create(&path).map_err(at(&path))?;
        file.write_all(&bytes[..half]).map_err(at(&path))?;
        may_die();
        file.write_all(&bytes[half..]).map_err(at(&path))?;
        may_die();
        Ok(())
    }

    /// Syncs everything to the disk, then renames the folder to its final name, which must be unused.
    ///
    /// # Errors
    ///
    /// [`PathError`]; then nothing changed.
    pub fn finish(self) -> Result<(), PathError> {
        let mut list = List::default();
        let entries = entries(&self.partial)?;
        for path in entries.iter().filter(|path| path.is_file()) {
            let mut file = File::open(path).map_err(at(path))?;
            let listed = Listed::of(&mut file).map_err(at(path))?;
            file.sync_all().map_err(at(path))?;
            may_die();
            let name = path.strip_prefix(&self.partial).unwrap_or(path);
            let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
            list.files.insert(parts.join("/"), listed);
        }
        let path = self.partial.join(LIST);
        let list = serde_json::to_vec_pretty(&list).map_err(|error| at(&path)(error.into()))?;
        self.write(LIST, &list)?;
        let file = File::open(&path).map_err(at(&path))?;
        file.sync_all().map_err(at(&path))?;
        may_die();
        for folder in entries.iter().filter(|path| path.is_dir()) {
            sync_folder(folder).map_err(at(folder))?;
        }
        may_die();
        // Replacing a folder takes two operations. A kill between them would leave neither folder.
        if self.folder.exists() {
            return Err(at(&self.folder)(io::ErrorKind::AlreadyExists.into()));
        }
        fs::rename(&self.partial, &self.folder).map_err(at(&self.folder))?;
        may_die();
        if let Some(parent) = self.folder.parent() {
            sync_folder(parent).map_err(at(parent))?;
        }
        may_die();
        Ok(())
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // After the rename this folder no longer exists.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Removes a complete folder. Removes the list first, so that a half-removed folder never looks complete.
///
/// # Errors
///
/// [`PathError`].
pub(super) fn remove(folder: &Path) -> Result<(), PathError> {
    let list = folder.join(LIST);
    may_die();
    if list.exists() {
        fs::remove_file(&list).map_err(at(&list))?;
        sync_folder(folder).map_err(at(folder))?;
    }
    may_die();
    fs::remove_dir_all(folder).map_err(at(folder))?;
    may_die();
    Ok(())
}

/// Returns the temporary name of a folder.
fn partial(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}{PARTIAL}"))
}

/// Suffix of an unfinished folder's name.
pub(super) const PARTIAL: &str = ".partial";

/// Returns a folder and everything below it.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, PathError> {
    let paths = WalkDir::new(folder).sort_by_file_name().into_iter();
    let paths = paths.map(|entry| entry.map(walkdir::DirEntry::into_path));
    paths
        .collect::<Result<_, _>>()
        .map_err(|error| at(folder)(error.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::list::problems;
    use super::super::{STATE, TENSORS};
    use super::*;

    fn unit(folder: &Path) -> Unit {
        let unit = Unit::begin(folder).unwrap();
        unit.write(STATE, b"{}").unwrap();
        unit.write(TENSORS, b"tensors").unwrap();
        unit.write("adapter/weights", b"one and two").unwrap();
        unit
    }

    #[test]
    fn checkpoint_folder_is_written_atomically() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("checkpoints/step-1");
        drop(unit(&folder));
        let beside = || fs::read_dir(folder.parent().unwrap()).unwrap().count();
        assert_eq!(beside(), 0);
        let unfinished = unit(&folder);
        assert!(!folder.exists());
        std::mem::forget(unfinished);
        // Leftovers of a killed run do not block a new one.
        unit(&folder).finish().unwrap();
        assert_eq!(problems(&folder), Vec::<String>::new());
        assert_eq!(beside(), 1);
        // An existing folder stays unchanged.
        assert!(unit(&folder).finish().is_err());
        assert_eq!(problems(&folder), Vec::<String>::new());
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }
}
