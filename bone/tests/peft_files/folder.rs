//! An adapter folder that we write, for tests to inspect and damage.

use crate::network::{B, Network, tuned};
use bone::peft::{CONFIG_FILE, TENSOR_FILE, load, save};
use bone::saved::Contents;
use bone::{AdapterConfig, FileError};
use burn::module::Module;
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// The contents of a safetensors file.
pub(crate) type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

pub(crate) struct Folder {
    pub(crate) directory: TempDir,
}

impl Folder {
    /// Writes a tuned network's adapters.
    pub(crate) fn new(config: &AdapterConfig) -> Self {
        Self::of::<B, _>(&tuned(Network::new(7), config), config)
    }

    /// Writes the part of `module` that `contents` names.
    pub(crate) fn of<B: bone::Backend, M: Module<B>>(
        module: &M,
        contents: impl Into<Contents>,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        save::<B, M>(module, contents, None, directory.path()).expect("saved");
        Self { directory }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> Map<String, Value> {
        let text = fs::read_to_string(self.file(CONFIG_FILE)).expect("read");
        serde_json::from_str(&text).expect("JSON")
    }

    pub(crate) fn edit_config(&self, edit: impl FnOnce(&mut Map<String, Value>)) {
        let mut map = self.config();
        edit(&mut map);
        let text = serde_json::to_string(&map).expect("JSON");
        fs::write(self.file(CONFIG_FILE), text).expect("written");
    }

    pub(crate) fn tensors(&self) -> Tensors {
        let bytes = fs::read(self.file(TENSOR_FILE)).expect("read");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        file.iter()
            .map(|(name, view)| {
                let parts = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
                (name.to_string(), parts)
            })
            .collect()
    }

    pub(crate) fn edit_tensors(&self, edit: impl FnOnce(&mut Tensors)) {
        let mut tensors = self.tensors();
        edit(&mut tensors);
        let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).expect("sizes agree");
            (name, view)
        });
        let bytes = serialize(views, None).expect("serialized");
        fs::write(self.file(TENSOR_FILE), bytes).expect("written");
    }

    pub(crate) fn load(&self) -> Result<Network<B>, FileError> {
        load(Network::<B>::new(7), self.directory.path()).map(|(network, _)| network)
    }

    /// Asserts that loading onto the network fails, and that the message names `file` in this
    /// folder and every one of `parts`.
    #[track_caller]
    pub(crate) fn refused(&self, file: &str, parts: &[&str]) -> FileError {
        self.refused_by(self.load(), file, parts)
    }

    /// Asserts the same of an attempt.
    #[track_caller]
    pub(crate) fn refused_by<T>(
        &self,
        outcome: Result<T, FileError>,
        file: &str,
        parts: &[&str],
    ) -> FileError {
        let Err(error) = outcome else {
            panic!("it loads");
        };
        let text = error.to_string();
        let file = self.file(file).display().to_string();
        for part in parts.iter().copied().chain([file.as_str()]) {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        error
    }
}
