//! A run's output folder: checked, locked, cleared and finished.

use super::RunError;
use super::checkpoint::{State, is_trial};
use super::lock::Lock;
use crate::config::{ConfigError, Problem, TrainConfig};
use crate::disk::{self, Beside, explained};
use crate::layout::{CHECKPOINTS, CONFIG, FINISHED, LOCK, LOGS, METRICS, MODEL, RESULTS};
use crate::models::{adapter, is_partial};
use crate::report::{Continued, Log, Metrics, Upto};
use crate::trainer::{Progress, TrainError};
use bone_lm::checkpoint::sync_folder;
use bone_tokenizer::TokenizerChoice;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Checks that a new run can write into its output folder and replaces nothing that it reads.
///
/// # Errors
///
/// A problem with `--out`, or that another run writes there now.
pub(super) fn check(config: &TrainConfig) -> Result<(), RunError> {
    let out = &config.out;
    let wrong = |reason: String| {
        RunError::from(ConfigError(vec![Problem {
            place: "--out".to_owned(),
            message: format!("{} {reason}", out.display()),
            on_disk: true,
        }]))
    };
    match fs::read_dir(out) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(wrong(format!("cannot be read ({error}); give a folder"))),
    }
    let real = |path: PathBuf| fs::canonicalize(path).ok();
    if real(config.model.clone()) == real(out.clone()) {
        return Err(wrong("is the model's own folder; give another".to_owned()));
    }
    for input in inputs(config).into_iter().filter_map(real) {
        let inside = |name: &&str| real(out.join(name)).is_some_and(|old| input.starts_with(old));
        if RESULTS.iter().chain(&[CONFIG, METRICS]).any(inside) {
            return Err(wrong(format!(
                "is where the result would replace {}, which the run reads; give another",
                input.display()
            )));
        }
    }
    if config.overwrite || is_empty(out).unwrap_or(false) {
        return Ok(());
    }
    if let Some(taken) = Lock::owner(out) {
        return Err(taken.into());
    }
    Err(wrong(
        "exists and is not empty; give another, or --overwrite to write into this one".to_owned(),
    ))
}

/// Returns the files and folders that a run reads.
fn inputs(config: &TrainConfig) -> Vec<PathBuf> {
    let files = config.data.0.iter().map(|source| source.selection.files());
    let data = files.flat_map(Result::unwrap_or_default);
    let tokenizer = match &config.tokenizer {
        TokenizerChoice::File(path) => Some(path.clone()),
        _ => None,
    };
    // A template that is no file is the name of one of ours, or lies with the model.
    let template = (config.template != "model").then(|| PathBuf::from(&config.template));
    let adapter = config.adapter.as_deref().map(adapter::place);
    std::iter::once(config.model.clone())
        .chain(template)
        .chain(adapter)
        .chain(tokenizer)
        .chain(data)
        .collect()
}

/// Returns whether a folder holds nothing but what a run leaves that never began.
fn is_empty(out: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let is_nothing = match entry.file_name() {
            name if name == LOCK => true,
            name if name == CHECKPOINTS => is_trial(&entry.path())?,
            name if name == LOGS => Log::is_alone(&entry.path())?,
            name => [CONFIG, METRICS]
                .iter()
                .any(|of| name == *disk::partial(Path::new(of))),
        };
        if !is_nothing {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the output folder this run's and nobody else's, if it is not yet by `lock`.
pub(super) fn take(config: &TrainConfig, lock: Option<Lock>) -> Result<Lock, RunError> {
    let out = &config.out;
    fs::create_dir_all(out).map_err(RunError::io(out))?;
    if let Some(lock) = lock {
        return Ok(lock);
    }
    let lock = Lock::take(out)?;
    // Another run may have been here since the settings were read.
    if !config.overwrite && !is_empty(out).map_err(RunError::io(out))? {
        return Err(RunError::Path {
            path: out.clone(),
            reason: "another run wrote into it in the meantime; give another folder".to_owned(),
        });
    }
    Ok(lock)
}

/// All that a run writes before its first step, beside the names it will have.
pub(super) struct Ready {
    settings: Beside,
    metrics: Continued,
    log: Log,
    resumes: bool,
}

/// Writes it. If that fails, nothing in the folder has changed.
pub(super) fn ready(config: &TrainConfig, resumed: Option<&State>) -> Result<Ready, RunError> {
    let out = &config.out;
    let settings = out.join(CONFIG);
    let toml = config.to_toml();
    let takes = ("the run's settings", toml.len() as u64, 4);
    let settings = Beside::write(settings.clone(), toml.as_bytes()).map_err(|error| {
        let reason = explained(&error, takes, out);
        RunError::Path {
            path: settings,
            reason,
        }
    })?;
    let metrics = match resumed {
        None => Continued::anew(out),
        Some(state) => {
            let Progress {
                begun_at,
                steps,
                evaluated,
                ..
            } = state.progress;
            let upto = Upto {
                begun_at,
                steps,
                evaluated,
            };
            Continued::prepare(out, upto, &state.unwritten)
        }
    };
    Ok(Ready {
        settings,
        metrics: metrics.map_err(TrainError::from)?,
        log: Log::open(out).map_err(TrainError::from)?,
        resumes: resumed.is_some(),
    })
}

/// Removes the results of an older run, which would be taken for this one's; then the new files get
/// their names.
pub(super) fn begin(config: &TrainConfig, ready: Ready) -> Result<(Metrics, Log), RunError> {
    let out = &config.out;
    remove_leftovers(out)?;
    unfinish(out)?;
    // Without `overwrite` there are none.
    let old = RESULTS.map(|name| out.join(name));
    let replaces = config.overwrite && !ready.resumes;
    for old in old.iter().filter(|old| replaces && old.exists()) {
        remove(old)?;
    }
    let settings = out.join(CONFIG);
    let placed = ready.settings.take_place();
    placed.map_err(RunError::io(&settings))?;
    let metrics = ready.metrics.take_place().map_err(TrainError::from)?;
    Ok((metrics, ready.log))
}

/// What a folder is called that is being removed.
const REMOVED: &str = ".removed";

/// Removes a folder so that a kill in between leaves no half of it under its name.
fn remove(folder: &Path) -> Result<(), RunError> {
    let mut removed = folder.as_os_str().to_owned();
    removed.push(REMOVED);
    fs::rename(folder, &removed).map_err(RunError::io(folder))?;
    fs::remove_dir_all(&removed).map_err(RunError::io(folder))
}

/// Removes what runs that were killed have left of folders that they wrote or removed.
fn remove_leftovers(out: &Path) -> Result<(), RunError> {
    let is_leftover = |name: &str| {
        let removed = RESULTS
            .iter()
            .any(|of| name.strip_prefix(of) == Some(REMOVED));
        removed || is_partial(name, MODEL)
    };
    for entry in fs::read_dir(out).map_err(RunError::io(out))? {
        let entry = entry.map_err(RunError::io(out))?;
        if entry.file_name().to_str().is_some_and(is_leftover) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(RunError::io(&path))?;
        }
    }
    Ok(())
}

fn unfinish(out: &Path) -> Result<(), RunError> {
    let finished = out.join(FINISHED);
    match finished.exists() {
        true => fs::remove_file(&finished).map_err(RunError::io(&finished)),
        false => Ok(()),
    }
}

/// Says that the run came to its end, when all of its result is on the disk.
pub(super) fn finish(out: &Path, result: &Path, steps: usize) -> Result<(), RunError> {
    sync_files(result).map_err(RunError::io(result))?;
    let finished = out.join(FINISHED);
    let said = format!("{{\"steps\": {steps}}}\n");
    fs::write(&finished, said).map_err(RunError::io(&finished))?;
    sync_files(out).map_err(RunError::io(out))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::RawConfig;

    #[test]
    fn a_new_run_takes_a_folder_that_is_not_there_or_empty() {
        let dir = tempfile::tempdir().unwrap();
        let [model, rows, out] = ["model", "rows.jsonl", "out"].map(|name| dir.path().join(name));
        fs::create_dir(&model).unwrap();
        fs::write(&rows, "{}").unwrap();
        let config = |out: &Path, overwrite| {
            let raw = RawConfig {
                model: Some(model.clone()),
                data: Some(rows.clone().into()),
                out: Some(out.to_path_buf()),
                overwrite: Some(overwrite),
                ..RawConfig::default()
            };
            raw.validate().unwrap()
        };
        assert!(check(&config(&out, false)).is_ok());
        fs::create_dir(&out).unwrap();
        assert!(check(&config(&out, false)).is_ok());
        fs::write(out.join(METRICS), "").unwrap();
        assert!(check(&config(&out, true)).is_ok());
        for (out, overwrite, wanted) in [
            (&out, false, "exists and is not empty"),
            (&model, true, "the model's own folder"),
            (&rows, true, "give a folder"),
        ] {
            let error = check(&config(out, overwrite)).unwrap_err();
            assert_eq!(error.exit_code(), 1);
            let error = error.to_string();
            assert!(error.starts_with("--out: "), "{error}");
            assert!(
                error.contains(wanted) && error.lines().count() == 1,
                "{error}"
            );
        }
    }
}
