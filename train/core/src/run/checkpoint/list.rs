//! The file list of a complete folder, and the check of the files against it.

use super::{STATE, TENSORS};
use crate::run::fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path};

/// File that lists the folder's files. Its presence makes the folder complete.
pub const LIST: &str = "complete.json";

/// Current format version of the list.
const FORMAT: u32 = 1;

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    bytes: u64,
    /// Hash as `xxh128sum` prints it.
    xxh128: String,
}

impl Listed {
    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let (bytes, xxh128) = fingerprint::of_file(file)?;
        Ok(Self { bytes, xxh128 })
    }

    /// Returns what is wrong with the file `name` of `folder`.
    fn problem(&self, folder: &Path, name: &str) -> Option<String> {
        // The list may come from an untrusted source. It must not name files outside the folder or endless
        // devices.
        let is_normal = |part| matches!(part, Component::Normal(_));
        if !Path::new(name).components().all(is_normal) {
            return Some(format!("{name:?}: is outside the checkpoint"));
        }
        let wrong = self.differs(&folder.join(name));
        let wrong = wrong.unwrap_or_else(|error| Some(error.to_string()))?;
        Some(format!("{name}: {wrong}"))
    }

    fn differs(&self, path: &Path) -> io::Result<Option<String>> {
        let found = fs::metadata(path)?;
        Ok(if !found.is_file() {
            Some("is not a file".to_owned())
        } else if found.len() != self.bytes {
            let (found, wanted) = (found.len(), self.bytes);
            Some(format!("expected {wanted} bytes, found {found}"))
        } else {
            let changed = Self::of(&mut File::open(path)?)? != *self;
            changed.then(|| "its content has changed since it was written".to_owned())
        })
    }
}

/// The list of a complete folder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct List {
    format: u32,
    /// Files by path in the folder, with slashes.
    pub(super) files: BTreeMap<String, Listed>,
}

impl Default for List {
    fn default() -> Self {
        Self {
            format: FORMAT,
            files: BTreeMap::new(),
        }
    }
}

/// Returns the problems of a checkpoint's files; none if it is complete.
pub(super) fn problems(folder: &Path) -> Vec<String> {
    let list = match fs::read(folder.join(LIST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![format!(
                "{LIST} is missing: the checkpoint was never finished"
            )];
        }
        read => read.and_then(|bytes| Ok(serde_json::from_slice::<List>(&bytes)?)),
    };
    let list = match list {
        Err(error) => return vec![format!("{LIST}: {error}")],
        Ok(list) => list,
    };
    if list.format != FORMAT {
        let found = list.format;
        return vec![format!(
            "{LIST}: format {found} is not supported: this version of bone reads format {FORMAT}; use the \
             version that wrote it"
        )];
    }
    let unlisted = [STATE, TENSORS].into_iter();
    let unlisted = unlisted.filter(|name| !list.files.contains_key(*name));
    let unlisted = unlisted.map(|name| format!("{LIST} does not list {name}"));
    let wrong = list.files.iter();
    let wrong = wrong.filter_map(|(name, listed)| listed.problem(folder, name));
    unlisted.chain(wrong).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::unit::Unit;
    use super::*;

    /// Returns the problems of a complete folder after a change.
    fn changed(change: impl Fn(&Path)) -> Vec<String> {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("step-1");
        let unit = Unit::begin(&folder).unwrap();
        for (name, bytes) in [
            (STATE, "{}"),
            (TENSORS, "tensors"),
            ("adapter/weights", "one and two"),
        ] {
            unit.write(name, bytes.as_bytes()).unwrap();
        }
        unit.finish().unwrap();
        change(&folder);
        problems(&folder)
    }

    /// Replaces `from` with `to` in the list.
    fn list(folder: &Path, from: &str, to: &str) {
        let list = fs::read_to_string(folder.join(LIST)).unwrap();
        assert!(list.contains(from), "{list}");
        fs::write(folder.join(LIST), list.replace(from, to)).unwrap();
    }

    #[test]
    fn changed_checkpoint_files_are_listed() {
        assert_eq!(changed(|_| ()), Vec::<String>::new());
        let found = changed(|folder| {
            fs::write(folder.join("adapter/weights"), b"one and twO").unwrap();
            fs::write(folder.join(STATE), b"{").unwrap();
        });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("adapter/weights: "), "{found:?}");
        assert_eq!(found[1], "state.json: expected 2 bytes, found 1");
        let found = changed(|folder| fs::remove_file(folder.join(STATE)).unwrap());
        assert!(found[0].starts_with("state.json: "), "{found:?}");
        let found = changed(|folder| fs::remove_file(folder.join(LIST)).unwrap());
        assert!(found[0].contains("never finished"), "{found:?}");
        let found = changed(|folder| list(folder, "\"format\": 1", "\"format\": 0"));
        assert!(found[0].contains("format 0"), "{found:?}");
    }

    #[test]
    fn file_list_rejects_paths_outside_checkpoint() {
        let found = changed(|folder| list(folder, STATE, "/dev/zero"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with(LIST) && found[0].ends_with(STATE),
            "{found:?}"
        );
        assert!(found[1].starts_with("\"/dev/zero\": "), "{found:?}");
        assert!(found[1].contains("outside"), "{found:?}");
        let found = changed(|folder| list(folder, "adapter/weights", "../step-1/state.json"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("\"../step-1/state.json\": "),
            "{found:?}"
        );
        assert!(found[0].contains("outside"), "{found:?}");
        let found = changed(|folder| list(folder, "adapter/weights", "adapter"));
        assert_eq!(found, ["adapter: is not a file"]);
    }
}
