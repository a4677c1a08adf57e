use super::config::{Layout, to_json};
use super::{CONFIG_FILE, Contents, PREFIX, TENSOR_FILE, io, is_state, key, suffix, whole};
use crate::weights::{adapted_weights, infos, is_finite, weights_where};
use crate::{AdapterConfig, Backend, FileError, visit_linears};
use burn::module::Module;
use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Writes what `contents` names of `module` to `dir`, which is created if need be: the adapters,
/// and the parameters held whole. Everything is written in f32. `base_model` is recorded as the
/// model it belongs to.
///
/// Each file is written beside its final name and renamed, so a folder never holds half a file.
///
/// # Errors
///
/// [`FileError::NotOneAdapter`] if the module carries no adapter or adapters other than `contents`
/// describes, lacks a parameter, or holds values that are not finite; [`FileError::Io`] from the
/// file system.
pub fn save<B: Backend, M: Module<B>>(
    module: &M,
    contents: impl Into<Contents>,
    base_model: Option<&str>,
    dir: &Path,
) -> Result<(), FileError> {
    let contents = contents.into();
    let mut tensors = BTreeMap::new();
    let mut problems = Vec::new();
    let layout = match &contents.adapter {
        Some(config) => {
            adapters::<B, M>(module, config, &mut tensors, &mut problems)?;
            let (modules, parameters) = whole::split::<B, M>(module, &contents.full);
            Layout::Adapter {
                config: config.clone(),
                modules,
                parameters,
            }
        }
        None => {
            check_states::<B, M>(module, &contents, &mut problems);
            Layout::States
        }
    };
    for name in adapted_weights::<B, M>(module).intersection(&contents.full) {
        problems.push(format!(
            "{name} would be held whole, and its layer carries an adapter"
        ));
    }
    let mut absent = contents.full.clone();
    for (name, data) in weights_where::<B, M>(module, |name| contents.full.contains(name)) {
        absent.remove(&name);
        let data = data.convert_dtype(DType::F32);
        if !is_finite(&data) {
            problems.push(format!("{name} holds values that are not finite"));
        }
        tensors.insert(key(&layout, &name), data);
    }
    problems.extend(
        absent
            .iter()
            .map(|name| format!("there is no parameter {name}")),
    );
    if !problems.is_empty() {
        return Err(FileError::NotOneAdapter(problems.join("; ")));
    }

    let views = tensors
        .iter()
        .map(|(name, data)| {
            TensorView::new(Dtype::F32, data.shape.to_vec(), &data.bytes)
                .map(|view| (name.clone(), view))
                .map_err(|error| FileError::NotOneAdapter(format!("{name}: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| {
        FileError::NotOneAdapter(format!("the tensors cannot be written: {error}"))
    })?;
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    write(&dir.join(TENSOR_FILE), &bytes)?;
    write(
        &dir.join(CONFIG_FILE),
        to_json(&layout, base_model).as_bytes(),
    )
}

/// Puts every adapter's values into `tensors`.
fn adapters<B: Backend, M: Module<B>>(
    module: &M,
    config: &AdapterConfig,
    tensors: &mut BTreeMap<String, TensorData>,
    problems: &mut Vec<String>,
) -> Result<(), FileError> {
    let (mut order, mut adapted) = (Vec::new(), Vec::new());
    visit_linears::<B, M>(module, |path, layer| {
        order.push(path.to_string());
        let Some(adapter) = layer.adapter() else {
            return;
        };
        if adapter.variant() != config.variant || adapter.rank() != config.rank {
            problems.push(format!(
                "{path} carries {} of rank {}, not {} of rank {}",
                adapter.variant().name(),
                adapter.rank(),
                config.variant.name(),
                config.rank
            ));
        }
        adapted.push(path.to_string());
        let name = format!("{PREFIX}{path}.{}", suffix(config));
        tensors.insert(name, adapter.to_data().convert_dtype(DType::F32));
    });
    if tensors.is_empty() {
        return Err(FileError::NotOneAdapter(
            "no layer carries an adapter".into(),
        ));
    }
    // What is written must load again, and loading goes by the targets.
    let targeted = config
        .targets
        .resolve(&order)
        .map_err(|error| FileError::NotOneAdapter(error.to_string()))?;
    problems.extend(
        adapted
            .iter()
            .filter(|path| !targeted.contains(path))
            .map(|path| format!("{path} carries an adapter and is not among the targets")),
    );
    problems.extend(
        targeted
            .iter()
            .filter(|path| !adapted.contains(path))
            .map(|path| format!("{path} is among the targets and carries no adapter")),
    );
    Ok(())
}

/// Without adapters a folder holds the state of every block and nothing else.
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
            .map(|name| format!("{name} is no initial state, and there is no adapter beside it")),
    );
    let infos = infos::<B, M>(module);
    let states = infos.keys().filter(|name| is_state(name));
    problems.extend(
        states
            .filter(|name| !contents.full.contains(*name))
            .map(|name| format!("{name} is left out")),
    );
    visit_linears::<B, M>(module, |path, layer| {
        if layer.adapter().is_some() {
            problems.push(format!(
                "{path} carries an adapter, which tuned states leave no room for"
            ));
        }
    });
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).map_err(io(&partial))?;
    std::fs::rename(&partial, path).map_err(io(path))
}
