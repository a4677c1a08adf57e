//! A run's output folder: nobody else's, cleared, and finished.

use super::{CONFIG_FILE, FINISHED, changed};
use crate::checkpoint::{RunIdentity, set_aside};
use crate::commands::CommandError;
use crate::commands::adapter::RESULTS;
use crate::config::{self, TrainConfig};
use crate::lock::Lock;
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

/// Removes what an older run has left in the folder, which would be taken for this one's result.
pub(super) fn clear(config: &TrainConfig) -> Result<(), CommandError> {
    let out = &config.out;
    unfinish(out)?;
    if config.overwrite {
        for old in RESULTS.map(|name| out.join(name)) {
            if old.exists() {
                fs::remove_dir_all(&old).map_err(CommandError::io(&old))?;
            }
        }
    }
    write_settings(config)
}

/// Sets aside what the run in the folder did after where it goes on from, and says what it is now: lines that
/// tell of it.
pub(super) fn go_on(
    config: &TrainConfig,
    after: usize,
    run: RunIdentity,
) -> Result<Vec<String>, CommandError> {
    let out = &config.out;
    let aside = set_aside(out, after).map_err(|error| TrainError::Save(error.to_string()))?;
    unfinish(out)?;
    changed::keep(out, after, run)?;
    write_settings(config)?;
    let line = |folder: &PathBuf| {
        let folder = folder.display();
        format!("what was done after step {after} is set aside: {folder}")
    };
    Ok(aside.iter().map(line).collect())
}

fn unfinish(out: &Path) -> Result<(), CommandError> {
    let finished = out.join(FINISHED);
    match finished.exists() {
        true => fs::remove_file(&finished).map_err(CommandError::io(&finished)),
        false => Ok(()),
    }
}

fn write_settings(config: &TrainConfig) -> Result<(), CommandError> {
    let written = config.out.join(CONFIG_FILE);
    fs::write(&written, config.to_toml()).map_err(CommandError::io(&written))
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
