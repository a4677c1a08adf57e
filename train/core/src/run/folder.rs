//! A run's output folder: checks, lock, cleanup and completion.

use super::RunError;
use super::checkpoint;
use super::lock::Lock;
use super::start::Start;
use crate::config::TrainConfig;
use crate::disk::{self, Beside, PathError, at, explained};
use crate::layout::{CHECKPOINTS, CONFIG, FINISHED, LOCK, LOGS, METRICS, MODEL, RESULTS};
use crate::models::{adapter, is_partial};
use crate::report::{Log, Metrics};
use bone_lm::checkpoint::sync_folder;
use bone_tokenizer::TokenizerChoice;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Checks that a new run can write into its output folder and overwrites none of its inputs.
///
/// # Errors
///
/// `--out` is unusable, or another run is writing there.
pub(super) fn check(config: &TrainConfig, start: &Start) -> Result<(), RunError> {
    let out = &config.out;
    let wrong = |reason: &str| RunError::Data(format!("--out: {} {reason}", out.display()));
    match fs::read_dir(out) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(wrong(&format!(
                "cannot be read: {error}; give an output folder"
            )));
        }
    }
    let real = |path: PathBuf| fs::canonicalize(path).ok();
    if real(config.model.clone()) == real(out.clone()) {
        return Err(wrong("is the folder of the model; give another folder"));
    }
    let fork = start.found().map(|found| found.at.folder.clone());
    for input in inputs(config).into_iter().chain(fork).filter_map(real) {
        let inside = |name: &&str| real(out.join(name)).is_some_and(|old| input.starts_with(old));
        if RESULTS.iter().chain(&[CONFIG, METRICS]).any(inside) {
            return Err(wrong(&format!(
                "contains {}, which the run reads and its result would overwrite; give another folder",
                input.display()
            )));
        }
    }
    if config.overwrite || is_empty(out).unwrap_or(false) {
        return Ok(());
    }
    if let Some(taken) = Lock::owner(out) {
        return Err(taken);
    }
    Err(wrong(
        "exists and is not empty; give another folder, or add --overwrite",
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
    // A template that is not a file is the name of a built-in one, or comes with the model.
    let template = (config.template != "model").then(|| PathBuf::from(&config.template));
    let adapter = config.adapter.as_deref().map(adapter::place);
    std::iter::once(config.model.clone())
        .chain(template)
        .chain(adapter)
        .chain(tokenizer)
        .chain(data)
        .collect()
}

/// Returns whether a folder holds nothing, or only files of a run that never started.
fn is_empty(out: &Path) -> io::Result<bool> {
    let partial = [CONFIG, METRICS].map(|name| disk::partial(Path::new(name)));
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_nothing = if name == CHECKPOINTS {
            holds_only(&entry.path(), checkpoint::is_trial)?
        } else if name == LOGS {
            holds_only(&entry.path(), Log::is_file)?
        } else {
            name == LOCK || partial.iter().any(|partial| name == **partial)
        };
        if !is_nothing {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether `is_ours` accepts the name of every entry of a folder.
fn holds_only(folder: &Path, is_ours: fn(&str) -> bool) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !entry?.file_name().to_str().is_some_and(is_ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Locks the output folder for this run, if `lock` does not hold it yet.
pub(super) fn take(config: &TrainConfig, lock: Option<Lock>) -> Result<Lock, RunError> {
    let out = &config.out;
    fs::create_dir_all(out).map_err(at(out))?;
    if let Some(lock) = lock {
        return Ok(lock);
    }
    let lock = Lock::take(out)?;
    // Another run may have written here since the settings were read.
    if !config.overwrite && !is_empty(out).map_err(at(out))? {
        let reason = "another run wrote into it in the meantime; give another folder";
        return Err(RunError::path(out, reason));
    }
    Ok(lock)
}

/// Writes the run's first files under temporary names: if that fails, the folder is unchanged. Then removes
/// the results of an older run, which could be mistaken for results of this one. Then gives the new files
/// their names.
pub(super) fn begin(config: &TrainConfig, start: &Start) -> Result<(Metrics, Log), RunError> {
    let out = &config.out;
    let settings = out.join(CONFIG);
    let toml = config.to_toml();
    let takes = ("the run's settings", toml.len() as u64, 4);
    let written = Beside::write(settings, toml.as_bytes());
    let mut settings = written.map_err(|error| RunError::Data(explained(&error, takes, out)))?;
    let mut metrics = match start.resumed() {
        None => Metrics::new(out, &[])?,
        Some(found) => {
            let progress = &found.state.progress;
            let done = progress.begun_at + 1..=progress.steps;
            Metrics::resume(out, done, progress.evaluated, &found.state.unwritten)?
        }
    };
    let log = Log::open(out)?;
    remove_leftovers(out)?;
    let finished = out.join(FINISHED);
    if finished.exists() {
        fs::remove_file(&finished).map_err(at(&finished))?;
    }
    // Without `overwrite` there are no old results.
    let old = RESULTS.map(|name| out.join(name));
    let replaces = config.overwrite && start.resumed().is_none();
    for old in old.iter().filter(|old| replaces && old.exists()) {
        remove(old)?;
    }
    settings.take_place()?;
    metrics.take_place()?;
    Ok((metrics, log))
}

/// Suffix of a folder that is being removed.
const REMOVED: &str = ".removed";

/// Removes a folder. Renames it first, so that a kill leaves no half-removed folder under its name.
fn remove(folder: &Path) -> Result<(), PathError> {
    let mut removed = folder.as_os_str().to_owned();
    removed.push(REMOVED);
    fs::rename(folder, &removed).map_err(at(folder))?;
    fs::remove_dir_all(&removed).map_err(at(folder))
}

/// Removes the unfinished and half-removed folders that killed runs left.
fn remove_leftovers(out: &Path) -> Result<(), PathError> {
    let is_leftover = |name: &str| {
        let removed = RESULTS
            .iter()
            .any(|of| name.strip_prefix(of) == Some(REMOVED));
        removed || is_partial(name, MODEL)
    };
    for entry in fs::read_dir(out).map_err(at(out))? {
        let entry = entry.map_err(at(out))?;
        if entry.file_name().to_str().is_some_and(is_leftover) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Marks the run as finished, after its complete result is synced to the disk.
pub(super) fn finish(out: &Path, result: &Path, steps: usize) -> Result<(), PathError> {
    sync_files(result).map_err(at(result))?;
    let finished = out.join(FINISHED);
    let said = format!("{{\"steps\": {steps}}}\n");
    fs::write(&finished, said).map_err(at(&finished))?;
    sync_files(out).map_err(at(out))
}

/// Syncs the files of a folder, and their names, to the disk.
fn sync_files(folder: &Path) -> io::Result<()> {
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
    fn new_run_requires_missing_or_empty_folder() {
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
        assert!(check(&config(&out, false), &Start::New).is_ok());
        fs::create_dir(&out).unwrap();
        assert!(check(&config(&out, false), &Start::New).is_ok());
        // A folder with only files of a run that never started counts as empty. A user's own files do not.
        for (folder, ours) in [
            (LOGS, "bone.2026-01-01.jsonl"),
            (CHECKPOINTS, "trial.partial"),
        ] {
            let folder = out.join(folder);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(ours), "").unwrap();
            assert!(check(&config(&out, false), &Start::New).is_ok());
            fs::write(folder.join("notes.txt"), "").unwrap();
            assert!(check(&config(&out, false), &Start::New).is_err());
            fs::remove_file(folder.join("notes.txt")).unwrap();
        }
        fs::write(out.join(METRICS), "").unwrap();
        assert!(check(&config(&out, true), &Start::New).is_ok());
        for (out, overwrite, wanted) in [
            (&out, false, "exists and is not empty"),
            (&model, true, "is the folder of the model"),
            (&rows, true, "give an output folder"),
        ] {
            let error = check(&config(out, overwrite), &Start::New).unwrap_err();
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
