//! The settings of a run that is forked or resumed.

use std::path::Path;

use super::error::ConfigError;
use super::{Given, RawConfig, TrainConfig};
use bone_data::Holdout;

/// Returns the settings of a forked run: `given` overrides the old run's settings `toml`, which come from
/// `path`. The output folder is always the given one.
///
/// # Errors
/// [`ConfigError`].
pub fn resolve_over(given: &Given, toml: &str, path: &Path) -> Result<TrainConfig, ConfigError> {
    let mut own = RawConfig::of_toml(toml, path)?;
    let mut raw = RawConfig::read(given)?;
    leave_out(&mut own, &raw);
    raw.lay_over(&own);
    raw.validate()
}

impl TrainConfig {
    /// Returns the settings `toml` of the run in `out`. They come from `path`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn of_run(toml: &str, path: &Path, out: &Path) -> Result<Self, ConfigError> {
        let mut raw = RawConfig::of_toml(toml, path)?;
        // The folder may have been moved.
        raw.out = Some(out.to_path_buf());
        raw.validate()
    }
}

/// Removes the settings from `own` that do not apply together with the given ones.
fn leave_out(own: &mut RawConfig, given: &RawConfig) {
    own.out = None;
    own.overwrite = None;
    let new_epochs = given.epochs.is_some() && given.epochs != own.epochs;
    let new_steps = given.max_steps.is_some() && given.max_steps != own.max_steps;
    own.epochs.take_if(|_| new_steps);
    own.max_steps.take_if(|_| new_epochs);
    own.warmup_steps.take_if(|_| given.warmup_ratio.is_some());
    own.warmup_ratio.take_if(|_| given.warmup_steps.is_some());
    own.field_map.take_if(|_| given.schema.is_some());
    own.schema.take_if(|_| given.field_map.is_some());
    let none_held_out = given.validation == Some(Holdout::Count(0));
    own.eval_every.take_if(|_| none_held_out);
    own.head_chunk
        .take_if(|_| given.chunked_head == Some(false));
}
