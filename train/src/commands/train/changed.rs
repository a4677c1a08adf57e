//! What a run that is gone on with has become, until its next checkpoint says so.
//!
//! A checkpoint is never written again, and the one that a run goes on from says what the run was. Were it
//! killed before its next one, or stopped before its next step, a change that was wanted would be lost.

use super::resume::FREE;
use crate::checkpoint::{FOLDER, Found, RunIdentity};
use crate::commands::CommandError;
use crate::disk::Beside;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
        let other = other.filter(|read| learns(&read.config) != learns(&state.config));
        return Ok(other.map(|_| {
            format!(
                "the run has gone on from {} with other settings before ({}); named itself, the checkpoint has \
                 its own",
                found.at.folder.display(),
                path.display()
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

/// The settings that change what a run learns.
fn learns(config: &str) -> Option<toml::Table> {
    let mut table: toml::Table = config.parse().ok()?;
    table.retain(|key, _| !FREE.contains(&key));
    Some(table)
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
