//! A run's output folder: nobody else's, cleared, and finished.

use super::resume::Resumed;
use super::{CONFIG_FILE, FINISHED};
use crate::checkpoint::set_aside;
use crate::commands::CommandError;
use crate::commands::adapter::RESULTS;
use crate::config::{self, TrainConfig};
use crate::lock::Lock;
use crate::trainer::TrainError;
use bone_lm::checkpoint::sync_folder;
use std::fs;
use std::path::Path;

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

/// Removes what an older run has left in the folder, which would be taken for this one's result, and sets
/// aside what a resumed one did after where it goes on from: lines that say so.
pub(super) fn clear(
    config: &TrainConfig,
    resumed: Option<&Resumed>,
) -> Result<Vec<String>, CommandError> {
    let out = &config.out;
    let finished = out.join(FINISHED);
    if finished.exists() {
        fs::remove_file(&finished).map_err(CommandError::io(&finished))?;
    }
    let mut lines = Vec::new();
    match resumed {
        None if config.overwrite => {
            for old in RESULTS.map(|name| out.join(name)) {
                if old.exists() {
                    fs::remove_dir_all(&old).map_err(CommandError::io(&old))?;
                }
            }
        }
        None => {}
        Some(resumed) => {
            let aside = set_aside(out, resumed.found.state.progress.steps);
            let aside = aside.map_err(|error| TrainError::Save(error.to_string()))?;
            let line = |folder: std::path::PathBuf| {
                format!(
                    "what was done after that is set aside: {}",
                    folder.display()
                )
            };
            lines.extend(aside.into_iter().map(line));
        }
    }
    let written = out.join(CONFIG_FILE);
    fs::write(&written, config.to_toml()).map_err(CommandError::io(&written))?;
    Ok(lines)
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
