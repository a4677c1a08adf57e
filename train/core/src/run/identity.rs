//! What identifies a run: its settings, model, rows and device.

use super::RunError;
use super::checkpoint::State;
use super::fingerprint;
use crate::config::TrainConfig;
use crate::disk::PathError;
use crate::models::adapter;
use std::collections::BTreeMap;
use std::thread::JoinHandle;

type Files = BTreeMap<String, String>;

/// Identity of a run. A separate thread hashes the model's files.
pub(super) struct Identity {
    /// Everything except the hashes.
    pub(super) state: State,
    hashing: Option<JoinHandle<Result<Files, PathError>>>,
}

impl Identity {
    /// Starts to hash the files that the run starts from.
    pub(super) fn new(config: &TrainConfig, state: State) -> Self {
        let (model, adapter) = (config.model.clone(), config.adapter.clone());
        let hashing = std::thread::spawn(move || {
            let mut files = fingerprint::of_files(&model)?;
            if let Some(adapter) = adapter {
                let of_adapter = fingerprint::of_files(&adapter::place(&adapter))?.into_iter();
                files.extend(of_adapter.map(|(name, hash)| (format!("adapter's {name}"), hash)));
            }
            Ok(files)
        });
        Self {
            state,
            hashing: Some(hashing),
        }
    }

    /// Returns the complete state. Waits for the hash of each model file.
    pub(super) fn whole(&mut self) -> Result<&State, RunError> {
        if let Some(hashing) = self.hashing.take() {
            let failed =
                |_| RunError::Data("the thread that hashes the model's files failed".into());
            self.state.base = hashing.join().map_err(failed)??;
        }
        Ok(&self.state)
    }
}
