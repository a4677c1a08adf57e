//! Finding the adapter in a folder a person names.

use super::CommandError;
use bone::peft::CONFIG_FILE;
use std::path::{Path, PathBuf};

/// The folder `train` puts the adapter into, inside its output folder.
pub(super) const ADAPTER: &str = "adapter";
/// The folder `train --method full` puts the model into, inside its output folder.
pub(super) const MODEL: &str = "model";

/// The folder `train` puts intermediate results into, inside its output folder.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// All of these.
pub(crate) const RESULTS: [&str; 3] = [ADAPTER, MODEL, CHECKPOINTS];

/// The adapter's folder: `folder` itself, or `folder/adapter` where `folder` is a run's output.
pub(super) fn find(folder: &Path) -> Result<PathBuf, CommandError> {
    let inside = folder.join(ADAPTER);
    for candidate in [folder, &inside] {
        if candidate.join(CONFIG_FILE).is_file() {
            return Ok(candidate.to_path_buf());
        }
    }
    Err(CommandError::Path {
        path: folder.to_path_buf(),
        reason: format!(
            "holds no adapter: there is no {CONFIG_FILE}; give an adapter's folder or the --out of a training run"
        ),
    })
}
