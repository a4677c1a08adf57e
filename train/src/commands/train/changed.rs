//! What a run that is gone on with has become, until its next checkpoint says so.
//!
//! A checkpoint is never written again, and the one that a run goes on from says what the run was. Were it
//! killed before its next one, or stopped before its next step, a change that was wanted would be lost.

use crate::checkpoint::{FOLDER, Found, RunIdentity};
use crate::commands::CommandError;
use bone_lm::checkpoint::sync_folder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
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

fn place(out: &Path) -> PathBuf {
    out.join(FOLDER).join(FILE)
}

/// Lays over a checkpoint what the run that went on from it last was. Who names a checkpoint wants it as it is.
pub(super) fn lay_over(found: &mut Found) -> Result<(), CommandError> {
    let path = place(&found.at.out);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(CommandError::io(&path))?,
    };
    if found.at.named {
        return Ok(());
    }
    let read: Changed = serde_json::from_slice(&bytes).map_err(|error| CommandError::Path {
        path,
        reason: format!(
            "{error}; remove it to go on as the checkpoint says, without what was changed since"
        ),
    })?;
    let state = &mut found.state;
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
    Ok(())
}

/// Keeps what the run in `out` is that goes on after so many steps.
pub(super) fn keep(out: &Path, after: usize, run: RunIdentity) -> Result<(), CommandError> {
    let path = place(out);
    let changed = Changed {
        after,
        config: run.config,
        base: run.base,
        data: run.data,
        device: run.device,
    };
    let partial = path.with_extension("partial");
    let write = || {
        let bytes = serde_json::to_vec_pretty(&changed)?;
        let mut file = File::create(&partial)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        path.parent().map_or(Ok(()), sync_folder)
    };
    write().map_err(CommandError::io(&path))
}
