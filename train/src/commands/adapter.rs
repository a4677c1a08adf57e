//! The adapter in a folder a person names: finding it, and putting it on a model.

use super::CommandError;
use crate::models::{ModelInfo, parameters};
use crate::step::{TrainBackend, TrainModel};
use bone::BlockAxis;
use bone::bare::{self, Kind};
use bone::peft::{self, CONFIG_FILE};
use bone::saved::{Contents, SavedAdapter, Scan, is_state};
use bone_lm::checkpoint::{Checkpoint, SINGLE_FILE};
use std::path::Path;

/// The folder `train` puts the adapter into, inside its output folder.
pub(super) const ADAPTER: &str = "adapter";
/// The folder `train --method full` puts the model into, inside its output folder.
pub(super) const MODEL: &str = "model";

/// The folder `train` puts intermediate results into, inside its output folder.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// All of these.
pub(crate) const RESULTS: [&str; 3] = [ADAPTER, MODEL, CHECKPOINTS];

/// What an adapter's file that does not say it may be told to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AxisWord {
    /// Bone on the output axis.
    Output,
    /// Bone on the input axis.
    Input,
    /// Miss, which has no blocks.
    None,
}

impl AxisWord {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Output => Kind::Bone(BlockAxis::Output),
            Self::Input => Kind::Bone(BlockAxis::Input),
            Self::None => Kind::Miss,
        }
    }
}

/// Takes apart the adapter at `path`: a folder of PEFT's or ours, the output folder of a run, or one
/// file of RWKV-PEFT's or JL-er's. `kind` settles what such a file does not say.
///
/// # Errors
///
/// There is no adapter, or none that can be read.
pub(crate) fn open(path: &Path, kind: Option<Kind>) -> Result<Scan, CommandError> {
    if path.is_file() {
        return Ok(bare::scan(path, kind)?);
    }
    let inside = path.join(ADAPTER);
    for folder in [path, &inside] {
        if folder.join(CONFIG_FILE).is_file() {
            return Ok(peft::scan(folder)?);
        }
    }
    // JL-er's folders hold their one file under the name that models have.
    let single = path.join(SINGLE_FILE);
    if single.is_file()
        && let Ok(scan) = bare::scan(&single, kind)
    {
        return Ok(scan);
    }
    Err(CommandError::Path {
        path: path.to_path_buf(),
        reason: format!(
            "holds no adapter: there is no {CONFIG_FILE}; give an adapter's folder, the --out of a \
             training run, or a file of RWKV-PEFT's or JL-er's"
        ),
    })
}

/// Refuses tuned states for a model without any.
fn check_states(scan: &Scan, path: &Path, has_states: bool) -> Result<(), CommandError> {
    if has_states || !scan.contents().full.iter().any(|name| is_state(name)) {
        return Ok(());
    }
    Err(no_states(path))
}

fn no_states(path: &Path) -> CommandError {
    CommandError::Path {
        path: path.to_path_buf(),
        reason:
            "holds the tuned states of a recurrent model (RWKV6), and this model has no state; \
                 give the model it was trained on"
                .into(),
    }
}

/// What was found at `path`, once it is known to fit a model that is not loaded.
pub(super) fn fit(
    scan: Scan,
    path: &Path,
    info: &ModelInfo,
    checkpoint: &Checkpoint,
) -> Result<SavedAdapter, CommandError> {
    check_states(&scan, path, !info.states.is_empty())?;
    Ok(scan.fit(&info.linear_layers, &parameters(info, checkpoint))?)
}

/// Puts what was found on `model`: adapters, parameters whole, or the blocks' initial states.
pub(super) fn put_on<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    scan: Scan,
    path: &Path,
) -> Result<(M, Contents), CommandError> {
    let model = match scan.contents().full.iter().any(|name| is_state(name)) {
        true => {
            let with_states = model.with_initial_state();
            with_states.ok_or_else(|| no_states(path))?
        }
        false => model,
    };
    Ok(scan.put_on::<B, M>(model)?)
}
