//! The settings of a run that begins at another one's checkpoint, or continues it.

use std::path::Path;

use super::TrainConfig;
use super::error::ConfigError;
use super::read::table;
use super::settings::{RawConfig, TrainArgs};
use bone_data::Holdout;

/// Returns the settings `toml` of a run, which come from `path`, with `args` over them. The output
/// folder is that of `args`.
///
/// # Errors
/// [`ConfigError`].
pub fn resolve_over(args: &TrainArgs, toml: &str, path: &Path) -> Result<TrainConfig, ConfigError> {
    let mut table = table(toml, path)?;
    let superseded = superseded(args, &table, path)?;
    let own = ["out", "overwrite"];
    table.retain(|key, _| !own.contains(&key) && !superseded.contains(&key));
    let (raw, problems) = RawConfig::read(args, Some((&table, path)))?;
    raw.validate_after(problems)
}

impl TrainConfig {
    /// Returns the settings `toml` of the run in `out`, which come from `path`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn of_run(toml: &str, path: &Path, out: &Path) -> Result<Self, ConfigError> {
        let table = table(toml, path)?;
        let (mut raw, problems) = RawConfig::read(&TrainArgs::default(), Some((&table, path)))?;
        // The folder may have been moved.
        raw.out = Some(out.to_path_buf());
        raw.validate_after(problems)
    }
}

/// Settings of a run that mean nothing beside what is given anew.
fn superseded(
    args: &TrainArgs,
    table: &toml::Table,
    path: &Path,
) -> Result<Vec<&'static str>, ConfigError> {
    // What is wrong in them is told when both are read together.
    let (given, _) = RawConfig::read(args, None)?;
    let (own, _) = RawConfig::read(&TrainArgs::default(), Some((table, path)))?;
    let mut keys = Vec::new();
    let mut replaced = |is_new: bool, key| {
        if is_new && !given.is_given(key) {
            keys.push(key);
        }
    };
    replaced(is_new(&given.max_steps, &own.max_steps), "epochs");
    replaced(is_new(&given.epochs, &own.epochs), "max_steps");
    replaced(given.warmup_ratio.is_some(), "warmup_steps");
    replaced(given.warmup_steps.is_some(), "warmup_ratio");
    replaced(given.schema.is_some(), "field_map");
    replaced(given.field_map.is_some(), "schema");
    let none_held_out = given.validation == Some(Holdout::Count(0));
    replaced(none_held_out, "eval_every");
    replaced(given.chunked_head == Some(false), "head_chunk");
    Ok(keys)
}

fn is_new<T: PartialEq>(given: &Option<T>, own: &Option<T>) -> bool {
    given.is_some() && given != own
}
