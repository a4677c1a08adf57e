//! A command that must fail in a folder that must not change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::command::{Ran, bone, copy_fixture, text, write_rows};

/// Exit code for an invalid request.
pub(crate) const USAGE: i32 = 2;
/// Exit code for all other failures.
pub(crate) const FAILURE: i32 = 1;

/// A temporary folder with a model, `model`, and `rows.jsonl`.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) model: PathBuf,
    pub(crate) rows: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            model: copy_fixture("llama-tiny", &folder.path().join("model")),
            rows: write_rows(folder.path()),
            folder,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Changes keys of the model's config.json; `null` removes a key.
    pub(crate) fn configure(&self, changes: &serde_json::Value) {
        let path = self.model.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let config = config.as_object_mut().unwrap();
        for (key, value) in changes.as_object().unwrap() {
            if value.is_null() {
                config.remove(key);
            } else {
                config.insert(key.clone(), value.clone());
            }
        }
        std::fs::write(path, serde_json::to_vec(config).unwrap()).unwrap();
    }

    /// Runs `bone train` with the scene's model and rows, rank 4, and `args`.
    #[track_caller]
    pub(crate) fn train_fails(&self, args: &[&str], code: i32, wanted: &[&str]) -> String {
        let out = self.path("out");
        let mut all = vec!["train"];
        for (flag, value) in [
            ("--model", text(&self.model)),
            ("--data", text(&self.rows)),
            ("--out", text(&out)),
            ("--template", "plain"),
            ("--max-steps", "2"),
            ("--rank", "4"),
        ] {
            // `--rank=` removes a setting of the scene.
            let given = args.iter().any(|arg| arg.split('=').next() == Some(flag));
            if !given {
                all.extend([flag, value]);
            }
        }
        all.extend(args.iter().filter(|arg| !arg.ends_with('=')));
        self.fails(&all, code, wanted)
    }

    /// Runs the command and checks the rules for every error: the exit code, one message that contains each
    /// of `wanted`, nothing on stdout, no panic, and no change on the disk.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str], code: i32, wanted: &[&str]) -> String {
        let before = self.contents();
        let Ran {
            code: got,
            stdout,
            stderr,
        } = bone(args);
        assert_eq!(got, Some(code), "{args:?}: {stderr}");
        assert_eq!(stdout, "", "{args:?}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        let message = stderr
            .lines()
            .skip_while(|line| line.ends_with(" …"))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(message.starts_with("error: "), "{args:?}: {stderr}");
        for wanted in wanted {
            assert!(message.contains(wanted), "no \"{wanted}\" in: {message}");
        }
        let after = self.contents();
        let changed: Vec<_> = after
            .iter()
            .filter(|(path, bytes)| before.get(*path) != Some(bytes))
            .chain(before.iter().filter(|(path, _)| !after.contains_key(*path)))
            .map(|(path, _)| path)
            .collect();
        assert!(changed.is_empty(), "{args:?} changed {changed:?}");
        message
    }

    /// Returns every file with its bytes, and every folder with no bytes.
    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                    found.insert(path, Vec::new());
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    found.insert(path, bytes);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.folder.path(), &mut found);
        found
    }
}
