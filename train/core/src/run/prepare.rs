//! What of a model a method trains, and where it is saved.

use super::RunError;
use super::fit::no_state;
use crate::config::{MethodName, TrainConfig};
use crate::layout::{ADAPTER, MODEL, OLD_MODEL};
use crate::models::adapter::{open, put_on};
use crate::models::{NewFolder, write_weights};
use crate::run::checkpoint::{Unit, WriteResult};
use crate::step::{TrainBackend, TrainModel};
use bone::peft;
use bone::rwkv_peft::Kind;
use bone::saved::{Contents, SavedAdapter, is_state};
use bone::{attach, freeze_base, train_also, unfreeze_all, weights, with_dropout};
use bone_data::{PROMPT_FILE, Prompt};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A model that is ready to train.
pub struct Prepared<M> {
    /// The model.
    pub model: M,
    /// Names of the parameters that train whole, beside adapters or without any.
    pub whole: BTreeSet<String>,
}

/// Makes ready what trains, and freezes the rest.
///
/// # Errors
///
/// The model does not have what is to train.
pub fn prepare<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    config: &TrainConfig,
) -> Result<Prepared<M>, RunError> {
    let mut whole = BTreeSet::new();
    let is_full = config.method == MethodName::Full;
    let adapter = config.adapter_config();
    let model = if is_full {
        unfreeze_all::<B, M>(model)
    } else if let Some(path) = &config.adapter {
        let scan = open(path, adapter.and_then(|adapter| Kind::of(adapter.variant)))?;
        let (model, contents) = put_on::<B, M>(model, scan, path)?;
        whole = contents.full;
        // The settings may have changed the dropout.
        with_dropout::<B, M>(model, config.dropout)
    } else if let Some(adapter) = &adapter {
        attach::<B, M>(model, adapter)?
    } else {
        model.with_initial_state().ok_or_else(no_state)?
    };
    whole.extend(chosen::<B, M>(&model, config));
    let model = if is_full {
        model
    } else {
        let model = freeze_base::<B, M>(model);
        train_also::<B, M>(model, |name| whole.contains(name))?
    };
    if config.packing
        && weights::infos::<B, M>(&model)
            .keys()
            .any(|name| is_state(name))
    {
        return Err(RunError::Usage(
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
        MethodName::Full => true,
        MethodName::State => is_state(name),
        _ => model
            .part_of(name)
            .is_some_and(|part| config.parts().contains(&part)),
    };
    let names = weights::infos::<B, M>(model).into_keys();
    names.filter(trains).collect()
}

/// What a run makes of its model, as an adapter's or a model's folder.
pub(super) struct Product {
    pub(super) config: TrainConfig,
    pub(super) prompt: Prompt,
    /// Names of the parameters that train whole.
    pub(super) whole: BTreeSet<String>,
}

impl Product {
    fn contents(&self) -> Contents {
        Contents {
            adapter: self.config.adapter_config(),
            full: self.whole.clone(),
        }
    }

    /// Returns what writes the result so far into a checkpoint.
    pub(super) fn for_checkpoint<B: TrainBackend, M: TrainModel<B>>(
        &self,
        model: &M,
    ) -> Result<WriteResult, RunError> {
        let prompt = self.prompt.to_json();
        let base = self.config.model.clone();
        if self.config.method == MethodName::Full {
            let weights: Vec<_> = weights::named_weights::<_, M::Inner>(&model.valid()).collect();
            return Ok(Box::new(move |unit: &Unit| {
                let folder = unit.path().join(MODEL);
                std::fs::create_dir_all(&folder)?;
                write_weights(weights.into_iter(), &base, &folder)?;
                let prompt_file = Path::new(MODEL).join(PROMPT_FILE);
                Ok(unit.write(prompt_file, prompt.as_bytes())?)
            }));
        }
        let saved = SavedAdapter::of::<B, M>(model, self.contents())?;
        Ok(Box::new(move |unit: &Unit| {
            let base = base.to_string_lossy();
            let files = peft::files(&saved, Some(&base))?;
            let prompt = (PROMPT_FILE, prompt.into_bytes());
            for (name, bytes) in files.into_iter().chain([prompt]) {
                unit.write(Path::new(ADAPTER).join(name), &bytes)?;
            }
            Ok(())
        }))
    }

    /// Writes the result into the output folder. Returns its folder: `adapter/` or `model/`.
    pub(super) fn save<B: TrainBackend, M: TrainModel<B>>(
        &self,
        model: &M,
    ) -> Result<PathBuf, RunError> {
        let out = &self.config.out;
        if self.config.method == MethodName::Full {
            return self.save_model::<B, M>(model);
        }
        let folder = out.join(ADAPTER);
        let base = self.config.model.to_string_lossy();
        peft::save::<B, M>(model, self.contents(), Some(&base), &folder)?;
        self.prompt.save(&folder)?;
        Ok(folder)
    }

    fn save_model<B: TrainBackend, M: TrainModel<B>>(
        &self,
        model: &M,
    ) -> Result<PathBuf, RunError> {
        let model = model.valid();
        let weights = weights::named_weights::<_, M::Inner>(&model);
        let broken = weights.filter(|(_, data)| !weights::is_finite(data));
        let broken: Vec<_> = broken.map(|(name, _)| name).collect();
        if let Some(first) = broken.first() {
            return Err(RunError::Data(format!(
                "the model was not saved: {} of its parameters are not finite, {first} first; lower \
                 the learning rate",
                broken.len()
            )));
        }
        let out = &self.config.out;
        let (old, folder) = (out.join(OLD_MODEL), out.join(MODEL));
        // A resumed run may have come as far as this before: its model stays until the new one is whole.
        let new = NewFolder::beside(&folder)?;
        let weights = weights::named_weights::<_, M::Inner>(&model);
        write_weights(weights, &self.config.model, new.path())?;
        self.prompt.save(new.path())?;
        new.replace(&old)?;
        Ok(folder)
    }
}
