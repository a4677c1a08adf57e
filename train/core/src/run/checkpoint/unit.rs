//! A folder that is there whole or not at all.
//!
//! Its files are written under another name and forced to the disk, then a list of them with their
//! hashes, then the folder gets its name. A reader trusts what the list says and nothing else.

use super::list::{LIST, List, Listed};
pub use crate::disk::WriteError;
use bone_lm::checkpoint::sync_folder;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// For `map_err`.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> WriteError + '_ {
    move |source| WriteError {
        path: path.to_path_buf(),
        source,
    }
}

/// Where a test may kill the run: before and after everything that a save does to the disk.
fn may_die() {
    fail::fail_point!("save", |_| crate::disk::kill());
}

/// A folder that is being filled. Dropped before it is complete, it leaves nothing.
#[derive(Debug)]
pub struct Unit {
    partial: PathBuf,
    folder: PathBuf,
}

impl Unit {
    /// Begins `folder`, which need not be there. What an earlier one left unfinished is removed.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub fn begin(folder: &Path) -> Result<Self, WriteError> {
        let partial = partial(folder);
        may_die();
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(at(&partial))?;
        }
        let place = partial.parent().filter(|place| !place.exists());
        fs::create_dir_all(&partial).map_err(at(&partial))?;
        if let Some(above) = place.and_then(Path::parent) {
            // The folder of all checkpoints is new itself.
            sync_folder(above).map_err(at(above))?;
        }
        may_die();
        Ok(Self {
            partial,
            folder: folder.to_path_buf(),
        })
    }

    /// Where its files lie until it is complete.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes a file of it; folders on the way are made.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<(), WriteError> {
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

    /// Gives it its name, which nothing has. Everything is on the disk before.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; then nothing has changed.
    pub fn finish(self) -> Result<(), WriteError> {
        let mut list = List::default();
        for name in files_in(&self.partial)? {
            let path = self.partial.join(&name);
            let mut file = File::open(&path).map_err(at(&path))?;
            let listed = Listed::of(&mut file).map_err(at(&path))?;
            file.sync_all().map_err(at(&path))?;
            may_die();
            list.files.insert(name, listed);
        }
        let path = self.partial.join(LIST);
        let list = list.to_bytes().map_err(at(&path))?;
        self.write(LIST, &list)?;
        let file = File::open(&path).map_err(at(&path))?;
        file.sync_all().map_err(at(&path))?;
        may_die();
        for folder in folders_in(&self.partial)? {
            sync_folder(&folder).map_err(at(&folder))?;
        }
        may_die();
        // Between removing what is there and this one's name a kill would leave neither.
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
        // After the rename there is nothing of this name.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Removes such a folder, so that half of one never looks whole: its list goes first.
///
/// # Errors
///
/// [`WriteError`].
pub(super) fn remove(folder: &Path) -> Result<(), WriteError> {
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

/// The name that a folder has until it is complete.
fn partial(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}{PARTIAL}"))
}

/// What the name of an unfinished folder ends with.
pub(super) const PARTIAL: &str = ".partial";

/// Files below a folder, by their paths in it.
fn files_in(folder: &Path) -> Result<Vec<String>, WriteError> {
    let mut found = Vec::new();
    for place in folders_in(folder)? {
        for entry in entries(&place)? {
            if !entry.is_dir() {
                let name = entry.strip_prefix(folder).unwrap_or(&entry);
                let parts = name.iter().map(|part| part.to_string_lossy());
                found.push(parts.collect::<Vec<_>>().join("/"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What the files below a folder hold together.
pub(super) fn bytes_in(folder: &Path) -> Result<u64, WriteError> {
    let mut bytes = 0;
    for name in files_in(folder)? {
        let path = folder.join(name);
        bytes += fs::metadata(&path).map_err(at(&path))?.len();
    }
    Ok(bytes)
}

/// A folder and those below it.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
    let mut found = vec![folder.to_path_buf()];
    let mut next = 0;
    while let Some(place) = found.get(next).cloned() {
        found.extend(entries(&place)?.into_iter().filter(|path| path.is_dir()));
        next += 1;
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
    let read = fs::read_dir(folder).and_then(|entries| {
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        paths.collect()
    });
    read.map_err(at(folder))
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
    fn a_folder_is_there_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("checkpoints/step-1");
        drop(unit(&folder));
        assert_eq!(entries(folder.parent().unwrap()).unwrap().len(), 0);
        let unfinished = unit(&folder);
        assert!(!folder.exists());
        std::mem::forget(unfinished);
        // What a killed run left is in nobody's way.
        unit(&folder).finish().unwrap();
        assert_eq!(problems(&folder), Vec::<String>::new());
        assert_eq!(entries(folder.parent().unwrap()).unwrap().len(), 1);
        // What is there is left as it is.
        assert!(unit(&folder).finish().is_err());
        assert_eq!(problems(&folder), Vec::<String>::new());
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }
}
