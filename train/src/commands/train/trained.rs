//! What of a model a method trains, and where it is saved.

use super::no_state;
use crate::checkpoint::{Unit, WriteResult};
use crate::commands::CommandError;
use crate::commands::adapter::{ADAPTER, MODEL, OLD_MODEL, open, put_on};
use crate::config::{Method, TrainConfig};
use crate::models::{NewFolder, write_weights};
use crate::prompt::{self, Prompt};
use crate::step::{TrainBackend, TrainModel};
use bone::peft;
use bone::rwkv_peft::Kind;
use bone::saved::{Contents, SavedAdapter, is_state};
use bone::{attach, freeze_base, train_also, unfreeze_all, weights, with_dropout};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A model that is ready to train.
pub(super) struct Prepared<M> {
    pub(super) model: M,
    /// Names of the parameters that train whole, beside adapters or without any.
    pub(super) whole: BTreeSet<String>,
}

/// Makes ready what trains, and freezes the rest.
pub(super) fn prepare<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    config: &TrainConfig,
) -> Result<Prepared<M>, CommandError> {
    let mut whole = BTreeSet::new();
    let model = match (&config.adapter, &config.method) {
        (_, Method::Full) => unfreeze_all::<B, M>(model),
        (Some(path), _) => {
            let kind = config.adapter_config().and_then(|a| Kind::of(a.variant));
            let scan = open(path, kind)?;
            let (model, contents) = put_on::<B, M>(model, scan, path)?;
            whole = contents.full;
            // The settings may have changed the dropout.
            with_dropout::<B, M>(model, config.adapter_config().map_or(0.0, |a| a.dropout))
        }
        (None, Method::Adapter(adapter)) => attach::<B, M>(model, adapter)?,
        (None, Method::State) => model.with_initial_state().ok_or_else(no_state)?,
    };
    whole.extend(chosen::<B, M>(&model, config));
    let model = match config.method {
        Method::Full => model,
        Method::Adapter(_) | Method::State => {
            let model = freeze_base::<B, M>(model);
            train_also::<B, M>(model, |name| whole.contains(name))?
        }
    };
    if config.packing
        && weights::infos::<B, M>(&model)
            .keys()
            .any(|name| is_state(name))
    {
        return Err(CommandError::Usage(
            "--packing: this model has tuned states, which every sequence starts from, and of those \
             packed into a row only the first would; leave it out"
                .into(),
        ));
    }
    Ok(Prepared { model, whole })
}

/// Names of the parameters that the settings let train whole.
fn chosen<B: TrainBackend, M: TrainModel<B>>(model: &M, config: &TrainConfig) -> BTreeSet<String> {
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

/// What a checkpoint has of the result: as [`save`] writes it.
pub(super) fn result<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    whole: &BTreeSet<String>,
    (config, prompt): (&TrainConfig, &Prompt),
) -> Result<WriteResult, CommandError> {
    let prompt = prompt.to_json()?;
    let base = config.model.clone();
    if config.method == Method::Full {
        let weights: Vec<_> = bone::weights::named_weights::<_, M::Inner>(&model.valid()).collect();
        return Ok(Box::new(move |unit: &Unit| {
            let folder = unit.path().join(MODEL);
            std::fs::create_dir_all(&folder)?;
            write_weights(weights.into_iter(), &base, &folder)?;
            let prompt_file = Path::new(MODEL).join(prompt::FILE);
            Ok(unit.write(prompt_file, prompt.as_bytes())?)
        }));
    }
    let contents = Contents {
        adapter: config.adapter_config(),
        full: whole.clone(),
    };
    let saved = SavedAdapter::of::<B, M>(model, contents)?;
    Ok(Box::new(move |unit: &Unit| {
        let base = base.to_string_lossy();
        let files = peft::files(&saved, Some(&base))?;
        let prompt = (prompt::FILE, prompt.into_bytes());
        for (name, bytes) in files.into_iter().chain([prompt]) {
            unit.write(Path::new(ADAPTER).join(name), &bytes)?;
        }
        Ok(())
    }))
}

/// Writes what trained into `folder`: `adapter/` or `model/`, and the prompt with it.
pub(super) fn save<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    whole: &BTreeSet<String>,
    (config, prompt): (&TrainConfig, &Prompt),
    folder: &Path,
) -> Result<PathBuf, CommandError> {
    if config.method == Method::Full {
        let model = model.valid();
        let weights = weights::named_weights::<_, M::Inner>(&model);
        let broken = weights.filter(|(_, data)| !weights::is_finite(data));
        let broken: Vec<_> = broken.map(|(name, _)| name).collect();
        if let Some(first) = broken.first() {
            return Err(CommandError::Data(format!(
                "the model was not saved: {} of its parameters have values that are not finite, {first} \
                 first; lower the learning rate",
                broken.len()
            )));
        }
        let (old, folder) = (folder.join(OLD_MODEL), folder.join(MODEL));
        // A run that is gone on with may have come as far as this before: until the new one is whole, that
        // is there.
        let new = NewFolder::beside(&folder)?;
        let weights = weights::named_weights::<_, M::Inner>(&model);
        write_weights(weights, &config.model, new.path())?;
        prompt.save(new.path())?;
        new.replace(&old)?;
        return Ok(folder);
    }
    let folder = folder.join(ADAPTER);
    let contents = Contents {
        adapter: config.adapter_config(),
        full: whole.clone(),
    };
    let base = config.model.to_string_lossy();
    peft::save::<B, M>(model, contents, Some(&base), &folder)?;
    prompt.save(&folder)?;
    Ok(folder)
}
