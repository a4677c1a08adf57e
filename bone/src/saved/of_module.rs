//! Extracts a module's adapters as values.

use super::{Contents, SavedAdapter, as_f32, is_state, split};
use crate::weights::{adapted_weights, infos, weights_where};
use crate::{AdapterConfig, Backend, FileError, peft, visit_linears};
use bone_files::wording::joined;
use burn::module::Module;
use std::collections::BTreeMap;
use std::path::PathBuf;

impl SavedAdapter {
    /// Extracts the part of `module` that `contents` names: the adapters and the full parameters,
    /// in f32. PiSSA and OLoRA are converted as [`AdapterConfig::saved`] says.
    ///
    /// See the [example](crate::saved).
    ///
    /// # Errors
    ///
    /// [`FileError::NotOneAdapter`] if the module carries no adapter or adapters other than
    /// `contents` describes, lacks a parameter, or holds values that are not finite.
    pub fn of<B: Backend, M: Module<B>>(
        module: &M,
        contents: impl Into<Contents>,
    ) -> Result<Self, FileError> {
        let contents = contents.into();
        let mut problems = Vec::new();
        let mut saved = Self {
            path: PathBuf::new(),
            settings: PathBuf::new(),
            config: contents.adapter.as_ref().map(AdapterConfig::saved),
            layers: BTreeMap::new(),
            full: BTreeMap::new(),
            modules: Vec::new(),
            naming: peft::naming(contents.adapter.as_ref()),
        };
        match &contents.adapter {
            Some(config) => {
                saved.layers = adapters::<B, M>(module, config, &mut problems)?;
                saved.modules = split::<B, M>(module, &contents.full).0;
            }
            None => check_states::<B, M>(module, &contents, &mut problems),
        }
        for name in adapted_weights::<B, M>(module).intersection(&contents.full) {
            problems.push(format!(
                "{name} would be saved in full, but its layer has an adapter"
            ));
        }
        let mut absent = contents.full.clone();
        for (name, data) in weights_where::<B, M>(module, |name| contents.full.contains(name)) {
            absent.remove(&name);
            saved.full.insert(name, as_f32(data));
        }
        problems.extend(
            absent
                .iter()
                .map(|name| format!("unknown parameter {name}")),
        );
        match problems.is_empty() {
            true => saved.check_finite().map(|()| saved),
            false => Err(FileError::NotOneAdapter(joined(problems, "; "))),
        }
    }
}

/// Returns every adapter's values.
fn adapters<B: Backend, M: Module<B>>(
    module: &M,
    config: &AdapterConfig,
    problems: &mut Vec<String>,
) -> Result<BTreeMap<String, Vec<burn::tensor::TensorData>>, FileError> {
    let (mut order, mut found) = (Vec::new(), BTreeMap::new());
    visit_linears::<B, M>(module, |path, layer| {
        order.push(path.to_string());
        let Some(adapter) = layer.adapter() else {
            return;
        };
        if adapter.variant() != config.variant || adapter.rank() != config.rank {
            problems.push(format!(
                "{path} has {} of rank {}, not {} of rank {}",
                adapter.variant().name(),
                adapter.rank(),
                config.variant.name(),
                config.rank
            ));
        }
        let tensors = adapter.saved_tensors().into_iter().map(as_f32);
        found.insert(path.to_string(), tensors.collect());
    });
    if found.is_empty() {
        return Err(FileError::NotOneAdapter("no layer has an adapter".into()));
    }
    // The file must load again, and loading selects layers by the targets.
    let targeted = config
        .targets
        .resolve(&order)
        .map_err(|error| FileError::NotOneAdapter(error.to_string()))?;
    let adapted = order.iter().filter(|path| found.contains_key(*path));
    problems.extend(
        adapted
            .filter(|path| !targeted.contains(path))
            .map(|path| format!("{path} has an adapter but is not a target")),
    );
    problems.extend(
        targeted
            .iter()
            .filter(|path| !found.contains_key(*path))
            .map(|path| format!("{path} is a target but has no adapter")),
    );
    Ok(found)
}

/// Checks that a file without adapters has the state of every block and nothing else.
fn check_states<B: Backend, M: Module<B>>(
    module: &M,
    contents: &Contents,
    problems: &mut Vec<String>,
) {
    if contents.full.is_empty() {
        problems.push("there is nothing to save".into());
    }
    problems.extend(
        contents
            .full
            .iter()
            .filter(|name| !is_state(name))
            .map(|name| {
                format!("{name} cannot be saved without an adapter; only initial states can")
            }),
    );
    let infos = infos::<B, M>(module);
    let states = infos.keys().filter(|name| is_state(name));
    problems.extend(
        states
            .filter(|name| !contents.full.contains(*name))
            .map(|name| format!("{name} is missing; save the states of all blocks")),
    );
    visit_linears::<B, M>(module, |path, layer| {
        if layer.adapter().is_some() {
            problems.push(format!(
                "{path} has an adapter, but a state file cannot hold adapters"
            ));
        }
    });
}
