//! A run's output folder: nobody else's, cleared, and finished.

use super::{CONFIG_FILE, FINISHED, changed};
use crate::checkpoint::{RunIdentity, State, set_aside};
use crate::commands::CommandError;
use crate::commands::adapter::{MODEL, RESULTS};
use crate::config::{self, TrainConfig};
use crate::disk::{Beside, explained};
use crate::lock::Lock;
use crate::models::is_partial;
use crate::report::{Continued, Log, Metrics};
use crate::trainer::TrainError;
use bone_lm::checkpoint::sync_folder;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes the output folder this run's and nobody else's, if it is not yet by `lock`.
pub(super) fn take(config: &TrainConfig, lock: Option<Lock>) -> Result<Lock, CommandError> {
    let out = &config.out;
    fs::create_dir_all(out).map_err(CommandError::io(out))?;
    if let Some(lock) = lock {
        return Ok(lock);
    }
    let lock = Lock::take(out)?;
    // Another run may have been here since the settings were read.
    if !config.overwrite && !config::is_empty(out).map_err(CommandError::io(out))? {
        return Err(CommandError::Path {
            path: out.clone(),
            reason: "another run has written here meanwhile; give another folder".to_owned(),
        });
    }
    Ok(lock)
}

/// All that a run writes before its first step, beside the names it will have.
pub(super) struct Ready {
    settings: Beside,
    /// What the run has become, where it goes on, and after how many steps.
    kept: Option<(usize, Beside)>,
    metrics: Continued,
    log: Log,
}

/// Writes it: nothing that lies there has changed if it cannot be written.
pub(super) fn ready(
    config: &TrainConfig,
    resumed: Option<(&State, RunIdentity)>,
) -> Result<Ready, CommandError> {
    let out = &config.out;
    let settings = out.join(CONFIG_FILE);
    let toml = config.to_toml();
    let takes = ("the run's settings", toml.len() as u64, 4);
    let settings = Beside::write(settings.clone(), toml.as_bytes()).map_err(|error| {
        let reason = explained(&error, takes, out);
        CommandError::Path {
            path: settings,
            reason,
        }
    })?;
    let (kept, metrics) = match resumed {
        None => (None, Continued::anew(out)),
        Some((state, run)) => {
            let at = (state.progress.steps, state.progress.evaluated);
            let kept = (at.0, changed::kept(out, at.0, run)?);
            (Some(kept), Continued::prepare(out, at, &state.unwritten))
        }
    };
    Ok(Ready {
        settings,
        kept,
        metrics: metrics.map_err(TrainError::from)?,
        log: Log::open(out).map_err(TrainError::from)?,
    })
}

/// Removes what an older run has left in the folder, which would be taken for this one's result, or sets aside
/// what the run that is gone on with did after that; then the new files get their names. The record, the log,
/// and lines that tell of it.
pub(super) fn begin(
    config: &TrainConfig,
    ready: Ready,
) -> Result<(Metrics, Log, Vec<String>), CommandError> {
    let Ready {
        settings,
        kept,
        metrics,
        log,
    } = ready;
    let out = &config.out;
    let mut lines = Vec::new();
    remove_leftovers(out)?;
    match kept {
        Some((after, kept)) => {
            // Killed in between, it goes on with what was changed, or is what it was.
            kept.take_place()
                .map_err(CommandError::io(&changed::place(out)))?;
            may_die();
            unfinish(out)?;
            let aside = set_aside(out, after);
            let aside = aside.map_err(|error| TrainError::Save(error.to_string()))?;
            let line = |folder: &PathBuf| {
                let folder = folder.display();
                format!("what was done after step {after} is set aside: {folder}")
            };
            lines.extend(aside.iter().map(line));
        }
        None => {
            unfinish(out)?;
            // Where it is not to be written over, it is empty.
            for old in RESULTS.map(|name| out.join(name)) {
                if config.overwrite && old.exists() {
                    remove(&old)?;
                }
            }
        }
    }
    let settings_file = out.join(CONFIG_FILE);
    settings
        .take_place()
        .map_err(CommandError::io(&settings_file))?;
    let metrics = metrics.take_place().map_err(TrainError::from)?;
    Ok((metrics, log, lines))
}

/// Where a test may kill a run that has begun to go on.
fn may_die() {
    fail::fail_point!("goes_on", |_| crate::signals::kill());
}

/// What a folder is called that is being removed.
const REMOVED: &str = ".removed";

/// Removes a folder so that a kill in between leaves no half of it under its name.
fn remove(folder: &Path) -> Result<(), CommandError> {
    let mut removed = folder.as_os_str().to_owned();
    removed.push(REMOVED);
    fs::rename(folder, &removed).map_err(CommandError::io(folder))?;
    fs::remove_dir_all(&removed).map_err(CommandError::io(folder))
}

/// Removes what runs that were killed have left of folders that they wrote or removed.
fn remove_leftovers(out: &Path) -> Result<(), CommandError> {
    let is_leftover = |name: &str| {
        let removed = RESULTS
            .iter()
            .any(|of| name.strip_prefix(of) == Some(REMOVED));
        removed || is_partial(name, MODEL)
    };
    for entry in fs::read_dir(out).map_err(CommandError::io(out))? {
        let entry = entry.map_err(CommandError::io(out))?;
        if entry.file_name().to_str().is_some_and(is_leftover) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(CommandError::io(&path))?;
        }
    }
    Ok(())
}

fn unfinish(out: &Path) -> Result<(), CommandError> {
    let finished = out.join(FINISHED);
    match finished.exists() {
        true => fs::remove_file(&finished).map_err(CommandError::io(&finished)),
        false => Ok(()),
    }
}

/// Says that the run came to its end, when all of its result is on the disk.
pub(super) fn finish(out: &Path, result: &Path, steps: usize) -> Result<(), CommandError> {
    sync_files(result).map_err(CommandError::io(result))?;
    let finished = out.join(FINISHED);
    let said = format!("{{\"steps\": {steps}}}\n");
    fs::write(&finished, said).map_err(CommandError::io(&finished))?;
    sync_files(out).map_err(CommandError::io(out))
}

/// Forces the files of a folder, and their names, to the disk.
fn sync_files(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            fs::File::open(path)?.sync_all()?;
        }
    }
    sync_folder(folder)
}
