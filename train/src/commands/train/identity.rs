//! What a run is known by.

use crate::checkpoint::RunIdentity;
use crate::commands::{CommandError, adapter};
use crate::config::TrainConfig;
use crate::fingerprint;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::JoinHandle;

type Files = BTreeMap<String, String>;
type Hashed = Result<Files, (PathBuf, std::io::Error)>;

/// What a run is known by. The bytes of its model are read in a thread of their own.
pub(super) struct Identity {
    config: String,
    rows: String,
    steps_per_epoch: u64,
    device: String,
    base: Base,
}

enum Base {
    Reading(Option<JoinHandle<Hashed>>),
    Known(Files),
}

impl Identity {
    /// Begins to read what the run starts from.
    pub(super) fn new(
        config: &TrainConfig,
        (rows, steps_per_epoch): (String, u64),
        device: String,
    ) -> Self {
        let (model, adapter) = (config.model.clone(), config.adapter.clone());
        let reading = std::thread::spawn(move || {
            let mut files = fingerprint::of_files(&model)?;
            if let Some(adapter) = adapter {
                let of_adapter = fingerprint::of_files(&adapter::place(&adapter))?.into_iter();
                files.extend(of_adapter.map(|(name, hash)| (format!("adapter's {name}"), hash)));
            }
            Ok(files)
        });
        Self {
            config: config.to_toml(),
            rows,
            steps_per_epoch,
            device,
            base: Base::Reading(Some(reading)),
        }
    }

    pub(super) fn rows(&self) -> &str {
        &self.rows
    }

    /// What the model is known by; waits for it.
    pub(super) fn base(&mut self) -> Result<&Files, CommandError> {
        if let Base::Reading(reading) = &mut self.base {
            let read = reading.take().map(JoinHandle::join);
            let base = match read {
                Some(Ok(Ok(base))) => base,
                Some(Ok(Err((path, error)))) => {
                    let reason = error.to_string();
                    return Err(CommandError::Path { path, reason });
                }
                Some(Err(_)) | None => {
                    let reason = "the thread that reads the model's files failed".to_owned();
                    return Err(CommandError::Data(reason));
                }
            };
            self.base = Base::Known(base);
        }
        static NONE: Files = Files::new();
        match &self.base {
            Base::Known(base) => Ok(base),
            Base::Reading(_) => Ok(&NONE),
        }
    }

    /// All of it, after so many seconds of a run of so many steps.
    pub(super) fn of(
        &mut self,
        total_steps: usize,
        seconds: f64,
    ) -> Result<RunIdentity, CommandError> {
        let base = self.base()?.clone();
        Ok(RunIdentity {
            total_steps,
            config: self.config.clone(),
            base,
            data: self.rows.clone(),
            steps_per_epoch: self.steps_per_epoch,
            device: self.device.clone(),
            seconds,
        })
    }
}
