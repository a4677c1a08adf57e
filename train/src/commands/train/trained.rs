//! What of a model a method trains, and where it is saved.

use super::no_state;
use crate::commands::CommandError;
use crate::commands::adapter::{ADAPTER, MODEL};
use crate::config::{Method, TrainConfig};
use crate::models::save_folder;
use crate::step::{TrainBackend, TrainModel};
use bone::peft::{self, Contents, is_state};
use bone::{attach, freeze_base, train_also, unfreeze_all, weights};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Makes ready what trains, and freezes the rest.
pub(super) fn prepare<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    config: &TrainConfig,
) -> Result<M, CommandError> {
    let model = match &config.method {
        Method::Full => return Ok(unfreeze_all::<B, M>(model)),
        Method::Adapter(adapter) => attach::<B, M>(model, adapter)?,
        Method::State => model.with_initial_state().ok_or_else(no_state)?,
    };
    let model = freeze_base::<B, M>(model);
    let whole = whole::<B, M>(&model, config);
    Ok(train_also::<B, M>(model, |name| whole.contains(name))?)
}

/// Names of the parameters that train whole, beside adapters or without any.
fn whole<B: TrainBackend, M: TrainModel<B>>(model: &M, config: &TrainConfig) -> BTreeSet<String> {
    let trains = |name: &String| match config.method {
        Method::Full => true,
        Method::Adapter(_) => model
            .part_of(name)
            .is_some_and(|part| config.train_parts.contains(&part)),
        Method::State => is_state(name),
    };
    let names = weights::infos::<B, M>(model).into_keys();
    names.filter(trains).collect()
}

/// Writes what trained into `folder`: `adapter/` or `model/`.
pub(super) fn save<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    config: &TrainConfig,
    folder: &Path,
) -> Result<PathBuf, CommandError> {
    if config.method == Method::Full {
        let folder = folder.join(MODEL);
        save_folder(&model.valid(), &config.model, &folder)?;
        return Ok(folder);
    }
    let folder = folder.join(ADAPTER);
    let contents = Contents {
        adapter: config.adapter(),
        full: whole::<B, M>(model, config),
    };
    let base = config.model.to_string_lossy();
    peft::save::<B, M>(model, contents, Some(&base), &folder)?;
    Ok(folder)
}
