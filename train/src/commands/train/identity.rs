//! What a run is known by.

use crate::checkpoint::RunIdentity;
use crate::commands::CommandError;
use crate::config::TrainConfig;
use crate::fingerprint;
use std::path::PathBuf;
use std::thread::JoinHandle;

type Hashed = Result<String, (PathBuf, std::io::Error)>;

/// What a run is known by. The bytes of its model are read in a thread of their own.
pub(super) struct Identity {
    config: String,
    rows: String,
    device: String,
    base: Base,
}

enum Base {
    Reading(Option<JoinHandle<Hashed>>),
    Known(String),
}

impl Identity {
    /// Begins to read what the run starts from.
    pub(super) fn new(config: &TrainConfig, rows: String, device: String) -> Self {
        let paths: Vec<_> = [&config.model]
            .into_iter()
            .chain(&config.adapter)
            .cloned()
            .collect();
        let reading = std::thread::spawn(move || {
            let each: Result<Vec<_>, _> = paths
                .iter()
                .map(|path| fingerprint::of_files(path))
                .collect();
            Ok(each?.join("+"))
        });
        Self {
            config: config.to_toml(),
            rows,
            device,
            base: Base::Reading(Some(reading)),
        }
    }

    pub(super) fn rows(&self) -> &str {
        &self.rows
    }

    /// What the model is known by; waits for it.
    pub(super) fn base(&mut self) -> Result<&str, CommandError> {
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
        match &self.base {
            Base::Known(base) => Ok(base),
            Base::Reading(_) => Ok(""),
        }
    }

    /// All of it, after so many seconds of a run of so many steps.
    pub(super) fn of(
        &mut self,
        total_steps: usize,
        seconds: f64,
    ) -> Result<RunIdentity, CommandError> {
        let base = self.base()?.to_owned();
        Ok(RunIdentity {
            total_steps,
            config: self.config.clone(),
            base,
            data: self.rows.clone(),
            device: self.device.clone(),
            seconds,
        })
    }
}
