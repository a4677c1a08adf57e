//! Adapter folders as Hugging Face PEFT reads and writes them: `adapter_config.json` and
//! `adapter_model.safetensors`.
//!
//! Bone on the output axis is PEFT's `MISS` with `init_weights = "bat"`, miss its default,
//! miss-mini its `"mini"`. Bone on the input axis, which PEFT does not have, is marked
//! `BONE_INPUT`, so that PEFT raises instead of loading it as something else.

use crate::adapter::{Adapter, adapter_dtype};
use crate::{
    AdapterConfig, Backend, BlockAxis, BoneLinear, FileError, Variant, map_linears, visit_linears,
};
use burn::module::Module;
use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

mod config;

/// Name of the configuration in an adapter folder.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the tensors' file in an adapter folder.
pub const TENSOR_FILE: &str = "adapter_model.safetensors";

const PREFIX: &str = "base_model.model.";

fn suffix(variant: Variant) -> &'static str {
    match variant {
        Variant::Bone(BlockAxis::Input) => "bone_input_block",
        Variant::Bone(BlockAxis::Output) | Variant::Miss | Variant::MissMini { .. } => "miss_block",
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FileError + '_ {
    move |source| FileError::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// Writes `module`'s adapters to `dir`, which is created if need be. `config` says what was
/// attached; `base_model` is recorded as the model the adapter belongs to.
///
/// Each file is written beside its final name and renamed, so a folder never holds half a file.
///
/// # Errors
///
/// [`FileError::NotOneAdapter`] if the module carries no adapter or adapters other than `config`
/// describes; [`FileError::Io`] from the file system.
pub fn save<B: Backend, M: Module<B>>(
    module: &M,
    config: &AdapterConfig,
    base_model: Option<&str>,
    dir: &Path,
) -> Result<(), FileError> {
    let mut tensors = BTreeMap::new();
    let (mut order, mut adapted) = (Vec::new(), Vec::new());
    let mut strangers = Vec::new();
    visit_linears::<B, M>(module, |path, layer| {
        order.push(path.to_string());
        let Some(adapter) = layer.adapter() else {
            return;
        };
        if adapter.variant() != config.variant || adapter.rank() != config.rank {
            strangers.push(format!(
                "{path} carries {} of rank {}, not {} of rank {}",
                adapter.variant().name(),
                adapter.rank(),
                config.variant.name(),
                config.rank
            ));
        }
        adapted.push(path.to_string());
        let name = format!("{PREFIX}{path}.{}", suffix(config.variant));
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
    strangers.extend(
        adapted
            .iter()
            .filter(|path| !targeted.contains(path))
            .map(|path| format!("{path} carries an adapter and is not among the targets")),
    );
    strangers.extend(
        targeted
            .iter()
            .filter(|path| !adapted.contains(path))
            .map(|path| format!("{path} is among the targets and carries no adapter")),
    );
    if !strangers.is_empty() {
        return Err(FileError::NotOneAdapter(strangers.join("; ")));
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
    let json = config::to_json(config, base_model);
    write(&dir.join(CONFIG_FILE), json.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).map_err(io(&partial))?;
    std::fs::rename(&partial, path).map_err(io(path))
}

/// Reads what an adapter folder holds without needing a model.
///
/// # Errors
///
/// As [`load`], less what concerns the model.
pub fn read_config(dir: &Path) -> Result<AdapterConfig, FileError> {
    let path = dir.join(CONFIG_FILE);
    let text = std::fs::read_to_string(&path).map_err(io(&path))?;
    config::from_json(&text).map_err(|reason| FileError::Format { path, reason })
}

/// Puts the adapter in `dir` on `module` and returns what it is.
///
/// # Errors
///
/// [`FileError::Mismatch`] lists every tensor the model has no place for, every targeted layer
/// the file has no tensor for, and every tensor of the wrong shape or type. Nothing is loaded in
/// part.
pub fn load<B: Backend, M: Module<B>>(
    module: M,
    dir: &Path,
) -> Result<(M, AdapterConfig), FileError> {
    let config = read_config(dir)?;
    let path = dir.join(TENSOR_FILE);
    let bytes = std::fs::read(&path).map_err(io(&path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| FileError::Format {
        path: path.clone(),
        reason: format!("not a whole safetensors file: {error}"),
    })?;

    let mut layers = BTreeMap::new();
    let mut order = Vec::new();
    visit_linears::<B, M>(&module, |path, layer| {
        order.push(path.to_string());
        layers.insert(path.to_string(), layer.clone());
    });
    let targeted = config
        .targets
        .resolve(&order)
        .map_err(|source| FileError::Attach {
            path: dir.join(CONFIG_FILE),
            source,
        })?;

    let mut problems = Vec::new();
    let mut found = BTreeMap::new();
    let tail = format!(".{}", suffix(config.variant));
    for (name, view) in file.iter() {
        let Some(module_path) = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_suffix(&tail))
        else {
            problems.push(format!(
                "{name}: unknown tensor; {} adapters are named {PREFIX}<module>{tail}",
                config.variant.name()
            ));
            continue;
        };
        match (
            layers.get(module_path),
            targeted.iter().any(|t| t == module_path),
        ) {
            (None, _) => problems.push(format!("{name}: the model has no layer {module_path}")),
            (Some(_), false) => problems.push(format!(
                "{name}: {module_path} is not among the targets of {CONFIG_FILE}"
            )),
            (Some(layer), true) => match checked(&config, module_path, layer, &view) {
                Ok(data) => {
                    found.insert(module_path.to_string(), data);
                }
                Err(problem) => problems.push(format!("{name}: {problem}")),
            },
        }
    }
    for target in &targeted {
        let name = format!("{PREFIX}{target}{tail}");
        if file.tensor(&name).is_err() {
            problems.push(format!("{name}: missing"));
        }
    }
    if !problems.is_empty() {
        // The file lists its tensors in no order.
        problems.sort();
        return Err(FileError::Mismatch { path, problems });
    }

    let attached = config.clone();
    let module = map_linears(module, move |path, mut layer: BoneLinear<B>| {
        if let Some(data) = found.remove(path) {
            let dtype = adapter_dtype(layer.weight.dtype());
            let device = layer.weight.lazy_device();
            layer.adapter = Some(Adapter::from_data(&attached, path, data, &device, dtype));
            layer.state = crate::State::Enabled;
        }
        layer
    });
    Ok((module, config))
}

fn checked<B: Backend>(
    config: &AdapterConfig,
    path: &str,
    layer: &BoneLinear<B>,
    view: &TensorView<'_>,
) -> Result<TensorData, String> {
    layer
        .check(config, path)
        .map_err(|error| error.reason.to_string())?;
    let [d_input, d_output] = layer.dims();
    let shape = config.variant.shape(config.rank, d_input, d_output);
    if view.shape() != shape {
        return Err(format!(
            "shape {:?}, this layer's adapter of rank {} has {shape:?}",
            view.shape(),
            config.rank
        ));
    }
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => return Err(format!("type {other:?}, adapters are F32, F16 or BF16")),
    };
    let data = TensorData::from_bytes_vec(view.data().to_vec(), shape, dtype);
    Ok(data.convert_dtype(DType::F32))
}
