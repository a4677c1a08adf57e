//! Choosing the parameters that a method trains, and saving the result.

use super::RunError;
use super::fit::no_state;
use crate::config::{MethodName, TrainConfig};
use crate::disk::at;
use crate::layout::{ADAPTER, MODEL, OLD_MODEL};
use crate::models::adapter::{open, put_on};
use crate::models::{NewFolder, write_weights};
use crate::step::{TrainBackend, TrainModel};
use bone::peft;
use bone::rwkv_peft::Kind;
use bone::saved::{Contents, SavedAdapter, is_state};
use bone::{attach, freeze_base, train_also, unfreeze_all, weights, with_dropout};
use bone_data::Prompt;
use burn::tensor::TensorData;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A model that is ready for training.
pub struct Prepared<M> {
    /// The model.
    pub model: M,
    /// Names of the parameters that train in full, with or without adapters.
    pub whole: BTreeSet<String>,
}

/// Enables training for the chosen parameters and freezes the rest.
///
/// # Errors
///
/// The model lacks a parameter that is to train.
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
        // The settings may override the dropout.
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
            "--packing: is not supported with a tuned initial state: only the first sample of a packed row \
             would use it; remove it"
                .into(),
        ));
    }
    Ok(Prepared { model, whole })
}

/// Returns the names of the parameters that the settings train in full.
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

/// Writes files into a folder.
type Write = Box<dyn FnOnce(&Path) -> Result<(), RunError> + Send>;

/// The result of a run: a folder, which is written on request.
pub(crate) struct Product {
    /// Name of the folder: `adapter` or `model`.
    pub(super) name: &'static str,
    /// Writes the files into a folder.
    pub(super) write: Write,
}

impl Product {
    /// Copies the result so far from `model`. `whole` names the parameters that train in full.
    pub(super) fn of<B: TrainBackend, M: TrainModel<B>>(
        model: &M,
        whole: &BTreeSet<String>,
        config: &TrainConfig,
        prompt: &Prompt,
    ) -> Result<Self, RunError> {
        let (base, prompt) = (config.model.clone(), prompt.clone());
        if config.method == MethodName::Full {
            let weights: Vec<_> = weights::named_weights::<_, M::Inner>(&model.valid()).collect();
            let write = move |folder: &Path| {
                check_finite(&weights)?;
                fs::create_dir_all(folder).map_err(at(folder))?;
                write_weights(weights.into_iter(), &base, folder)?;
                Ok(prompt.save(folder)?)
            };
            return Ok(Self {
                name: MODEL,
                write: Box::new(write),
            });
        }
        let contents = Contents {
            adapter: config.adapter_config(),
            full: whole.clone(),
        };
        let saved = SavedAdapter::of::<B, M>(model, contents)?;
        let write = move |folder: &Path| {
            peft::write(&saved, Some(&base.to_string_lossy()), folder)?;
            Ok(prompt.save(folder)?)
        };
        Ok(Self {
            name: ADAPTER,
            write: Box::new(write),
        })
    }

    /// Writes the result into the output folder `out`. Returns the result's folder.
    pub(super) fn save(self, out: &Path) -> Result<PathBuf, RunError> {
        let folder = out.join(self.name);
        if self.name == MODEL {
            // A resumed run may find a model from an earlier attempt. It stays until the new one is
            // complete.
            let new = NewFolder::beside(&folder)?;
            (self.write)(new.path())?;
            new.replace(&out.join(OLD_MODEL))?;
        } else {
            (self.write)(&folder)?;
        }
        Ok(folder)
    }
}

fn check_finite(weights: &[(String, TensorData)]) -> Result<(), RunError> {
    let broken = weights.iter().filter(|(_, data)| !weights::is_finite(data));
    let broken: Vec<_> = broken.map(|(name, _)| name).collect();
    let Some(first) = broken.first() else {
        return Ok(());
    };
    Err(RunError::Data(format!(
        "the model was not saved: {} of its parameters are not finite, the first is {first}; lower the \
         learning rate",
        broken.len()
    )))
}
