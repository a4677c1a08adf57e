//! What a run that is gone on with has become, until its next checkpoint says so.
//!
//! A checkpoint is never written again, and the one that a run goes on from says what the run was. Were it
//! killed before its next one, or stopped before its next step, a change that was wanted would be lost.

use super::resume::{BASE, DEVICE, FREE, ROWS};
use crate::checkpoint::{FOLDER, Found, RunIdentity, State, read_state};
use crate::commands::CommandError;
use crate::config;
use crate::disk::Beside;
use crate::shell;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file, beside the checkpoints.
const FILE: &str = "goes-on.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    /// Steps of the checkpoint that the run goes on from.
    after: usize,
    /// As in [`State`](crate::checkpoint::State).
    config: String,
    base: BTreeMap<String, String>,
    data: String,
    device: String,
}

pub(super) fn place(out: &Path) -> PathBuf {
    out.join(FOLDER).join(FILE)
}

/// Lays over a checkpoint what the run that went on from it last was. Who names a checkpoint wants it as it is: a
/// note, if it was another one then.
pub(super) fn lay_over(found: &mut Found) -> Result<Option<String>, CommandError> {
    let path = place(&found.at.out);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(CommandError::io(&path))?,
    };
    let read: Result<Changed, _> = serde_json::from_slice(&bytes);
    let state = &mut found.state;
    if found.at.named {
        let other = read.ok().filter(|read| read.after == state.progress.steps);
        let arguments = other.and_then(|read| arguments(&read, state));
        let arguments = arguments.filter(|arguments| !arguments.allowed.is_empty());
        return Ok(arguments.map(|arguments| {
            format!(
                "the run has gone on from {} with other settings before; named itself, the checkpoint has its own, \
                 and with those it is{arguments}",
                found.at.folder.display(),
            )
        }));
    }
    let read = read.map_err(|error| CommandError::Path {
        path,
        reason: format!(
            "{error}; remove it to go on as the checkpoint says, without what was changed since"
        ),
    })?;
    if read.after == state.progress.steps {
        let Changed {
            config,
            base,
            data,
            device,
            ..
        } = read;
        (state.config, state.base, state.data, state.device) = (config, base, data, device);
    }
    Ok(None)
}

/// What is to be given besides for the run that goes on from the checkpoint `folder`, named itself, to be what it is
/// by now: whenever it went on it wrote that down.
pub(super) fn carried(out: &Path, folder: &Path) -> Option<Arguments> {
    let state = read_state(folder).ok()?;
    let read: Changed = serde_json::from_slice(&fs::read(place(out)).ok()?).ok()?;
    arguments(&read, &state)
}

/// What is given besides to make a run another.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Settings, and their values.
    set: BTreeMap<String, String>,
    /// What is allowed to differ.
    allowed: BTreeSet<String>,
}

impl Arguments {
    /// The value of a setting.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.set.get(key).map(String::as_str)
    }

    /// With one setting more, or another value of it.
    pub(super) fn with(mut self, key: &str, value: String) -> Self {
        self.set.insert(key.to_owned(), value);
        self.allowed.insert(key.to_owned());
        self
    }
}

/// As a shell reads it, behind a command.
impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.set {
            write!(f, " --set {key}={}", shell::word(value))?;
        }
        let allowed: Vec<_> = self.allowed.iter().map(String::as_str).collect();
        match allowed.is_empty() {
            true => Ok(()),
            false => write!(f, " --allow-change {}", allowed.join(",")),
        }
    }
}

/// A setting's value as a person gives it.
fn as_given(key: &str, value: &toml::Value) -> String {
    if let ("data", Some(sources)) = (key, config::sources_as_given(value)) {
        return sources;
    }
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(all) => {
            let all: Vec<_> = all.iter().map(|value| as_given(key, value)).collect();
            all.join(",")
        }
        other => other.to_string(),
    }
}

/// What makes the run of a checkpoint the changed one; nothing where that is the same.
fn arguments(changed: &Changed, state: &State) -> Option<Arguments> {
    let table = |config: &str| config.parse::<toml::Table>().ok();
    let (before, now) = (table(&state.config)?, table(&changed.config)?);
    let own = ["out", "overwrite"];
    let differs = |(key, value): &(&String, &toml::Value)| {
        before.get(*key) != Some(*value) && !own.contains(&key.as_str())
    };
    let settings = now.iter().filter(differs);
    let set: BTreeMap<_, _> = settings
        .map(|(key, value)| (key.clone(), as_given(key, value)))
        .collect();
    let keys = set.keys().map(String::as_str);
    let keys = keys.filter(|key| !FREE.contains(key));
    let others = [
        (BASE, changed.base != state.base),
        (ROWS, changed.data != state.data),
        (DEVICE, changed.device != state.device),
    ];
    let others = others.into_iter().filter(|(_, differs)| *differs);
    let allowed = keys.chain(others.map(|(key, _)| key));
    let allowed: BTreeSet<_> = allowed.map(ToOwned::to_owned).collect();
    let differs = !(set.is_empty() && allowed.is_empty());
    differs.then_some(Arguments { set, allowed })
}

/// What the run in `out` is that goes on after so many steps, for the disk.
pub(super) fn kept(out: &Path, after: usize, run: RunIdentity) -> Result<Beside, CommandError> {
    let changed = Changed {
        after,
        config: run.config,
        base: run.base,
        data: run.data,
        device: run.device,
    };
    let path = place(out);
    let bytes = serde_json::to_vec_pretty(&changed).map_err(std::io::Error::from);
    let kept = bytes.and_then(|bytes| Beside::write(path.clone(), &bytes));
    kept.map_err(CommandError::io(&path))
}
