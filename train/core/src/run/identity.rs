//! What a run is known by: its settings, model, rows and device.

use super::RunError;
use super::checkpoint::RunIdentity;
use super::fingerprint;
use crate::config::TrainConfig;
use crate::device::DeviceName;
use crate::models::adapter;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::JoinHandle;

type Files = BTreeMap<String, String>;
type Hashed = Result<Files, (PathBuf, std::io::Error)>;

/// What a run is known by. A thread of its own hashes the model's files.
pub(super) struct Identity {
    run: RunIdentity,
    hashing: Option<JoinHandle<Hashed>>,
}

impl Identity {
    /// Begins to hash what the run starts from.
    pub(super) fn new(
        config: &TrainConfig,
        rows: &str,
        steps_per_epoch: u64,
        device: DeviceName,
    ) -> Self {
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
            run: RunIdentity {
                data: rows.to_owned(),
                steps_per_epoch,
                device: device.to_string(),
                ..RunIdentity::default()
            },
            hashing: Some(hashing),
        }
    }

    /// Sets the settings, with those that depend on the rows filled in.
    pub(super) fn set_config(&mut self, config: &TrainConfig) {
        self.run.config = config.to_toml();
    }

    /// Returns the hash of each of the model's files; waits for them.
    pub(super) fn base(&mut self) -> Result<&Files, RunError> {
        if let Some(hashing) = self.hashing.take() {
            self.run.base = match hashing.join() {
                Ok(Ok(base)) => base,
                Ok(Err((path, source))) => return Err(RunError::Io { path, source }),
                Err(_) => {
                    let reason = "the thread that hashes the model's files failed".to_owned();
                    return Err(RunError::Data(reason));
                }
            };
        }
        Ok(&self.run.base)
    }

    /// Returns all of it, `seconds` after the start of a run of `total_steps`.
    pub(super) fn of(&mut self, total_steps: usize, seconds: f64) -> Result<RunIdentity, RunError> {
        self.base()?;
        Ok(RunIdentity {
            total_steps,
            seconds,
            ..self.run.clone()
        })
    }
}
