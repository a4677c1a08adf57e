//! The adapter in a folder a person names: finding it, and putting it on a model.

use super::CommandError;
use crate::step::{TrainBackend, TrainModel};
use bone::peft::{self, CONFIG_FILE, Contents};
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

/// Puts what `folder` holds on `model`: adapters, parameters whole, or the blocks' initial states.
pub(super) fn load<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    folder: &Path,
) -> Result<(M, Contents), CommandError> {
    let contents = peft::read_contents(folder)?;
    let model = if contents.full.iter().any(|name| peft::is_state(name)) {
        model.with_initial_state().ok_or_else(|| CommandError::Path {
            path: folder.to_path_buf(),
            reason: "holds the tuned states of a recurrent model (RWKV6), and this model has no state; give the model it was trained on".into(),
        })?
    } else {
        model
    };
    Ok(peft::load::<B, M>(model, folder)?)
}
