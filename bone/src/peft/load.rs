use super::config::{Layout, from_json};
use super::{CONFIG_FILE, Contents, PREFIX, TENSOR_FILE, io, is_state, key, suffix, whole};
use crate::adapter::{Adapter, adapter_dtype};
use crate::weights::{Info, infos, misfit, overlay};
use crate::{AdapterConfig, Backend, BoneLinear, FileError, map_linears, visit_linears};
use burn::module::Module;
use burn::tensor::{DType, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

fn read_layout(dir: &Path) -> Result<Layout, FileError> {
    let path = dir.join(CONFIG_FILE);
    let text = std::fs::read_to_string(&path).map_err(io(&path))?;
    from_json(&text).map_err(|reason| FileError::Format { path, reason })
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, FileError> {
    SafeTensors::deserialize(bytes).map_err(|error| FileError::Format {
        path: path.to_path_buf(),
        reason: format!("not a whole safetensors file: {error}"),
    })
}

/// The parameter a tensor holds whole, by its name in the file; `None` for an adapter's tensor and
/// for one of no name we know.
fn parameter_of<'a>(layout: &Layout, name: &'a str) -> Option<&'a str> {
    match layout {
        Layout::States => is_state(name).then_some(name),
        Layout::Adapter {
            config,
            modules,
            parameters,
        } => {
            let name = name.strip_prefix(PREFIX)?;
            let listed = parameters.iter().any(|parameter| parameter == name)
                || modules.iter().any(|entry| whole::lies_in(name, entry));
            (listed && layer_of(config, name).is_none()).then_some(name)
        }
    }
}

/// The layer whose adapter a tensor is, by its name without [`PREFIX`].
fn layer_of<'a>(config: &AdapterConfig, name: &'a str) -> Option<&'a str> {
    name.strip_suffix(suffix(config))?.strip_suffix('.')
}

/// Reads what an adapter folder holds without needing a model.
///
/// # Errors
///
/// As [`load`], less what concerns the model.
pub fn read_contents(dir: &Path) -> Result<Contents, FileError> {
    let layout = read_layout(dir)?;
    let path = dir.join(TENSOR_FILE);
    let names = names(&path)?;
    Ok(contents(&layout, names.iter().map(String::as_str)))
}

/// Names of the tensors in a file, from its header alone: a length of 8 bytes, and JSON.
fn names(path: &Path) -> Result<Vec<String>, FileError> {
    let mut file = File::open(path).map_err(io(path))?;
    let size = file.metadata().map_err(io(path))?.len();
    let cut = || FileError::Format {
        path: path.to_path_buf(),
        reason: "not a whole safetensors file".into(),
    };
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| cut())?;
    let length = u64::from_le_bytes(length);
    if length > size {
        return Err(cut());
    }
    let mut header = Vec::new();
    file.take(length)
        .read_to_end(&mut header)
        .map_err(io(path))?;
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|_| cut())?;
    let names = header.into_iter().map(|(name, _)| name);
    Ok(names.filter(|name| name != "__metadata__").collect())
}

fn contents<'a>(layout: &Layout, names: impl IntoIterator<Item = &'a str>) -> Contents {
    Contents {
        adapter: match layout {
            Layout::Adapter { config, .. } => Some(config.clone()),
            Layout::States => None,
        },
        full: names
            .into_iter()
            .filter_map(|name| parameter_of(layout, name))
            .map(str::to_string)
            .collect(),
    }
}

/// Puts what the folder `dir` holds on `module` and returns what it is. Parameters held whole
/// keep the file's precision: [`cast_to`](crate::weights::cast_to) rounds them.
///
/// # Errors
///
/// [`FileError::Mismatch`] lists every tensor the model has no place for, every targeted layer
/// and listed parameter the file has no tensor for, and every tensor of the wrong shape or type.
/// Nothing is loaded in part.
pub fn load<B: Backend, M: Module<B>>(module: M, dir: &Path) -> Result<(M, Contents), FileError> {
    let layout = read_layout(dir)?;
    let path = dir.join(TENSOR_FILE);
    let bytes = std::fs::read(&path).map_err(io(&path))?;
    let file = parse(&path, &bytes)?;
    let contents = contents(&layout, file.names());

    let mut problems = Vec::new();
    let adapters = match &contents.adapter {
        Some(config) => adapters::<B, M>(&module, config, &layout, &file, dir, &mut problems)?,
        None => {
            let unknown = file.names().into_iter().filter(|name| !is_state(name));
            problems.extend(unknown.map(|name| {
                format!("{name}: unknown tensor; states are named blocks.N.att.time_state")
            }));
            BTreeMap::new()
        }
    };
    let values = values::<B, M>(&module, &layout, &contents, &file, &mut problems);
    if let Some(config) = &contents.adapter {
        // Merging would go by the order in which the two are done.
        let twice = adapters
            .keys()
            .filter(|path| values.contains_key(&format!("{path}.weight")));
        problems.extend(twice.map(|path| {
            let kind = config.variant.name();
            format!("{PREFIX}{path}.weight: held whole, and the layer carries {kind} as well")
        }));
    }
    if !problems.is_empty() {
        // The file lists its tensors in no order.
        problems.sort();
        return Err(FileError::Mismatch { path, problems });
    }

    let module = overlay::<B, M>(module, values).map_err(|error| FileError::Mismatch {
        path,
        problems: error.problems,
    })?;
    let module = match &contents.adapter {
        Some(config) => put_on::<B, M>(module, config, adapters),
        None => module,
    };
    Ok((module, contents))
}

/// The adapters' values by layer.
fn adapters<B: Backend, M: Module<B>>(
    module: &M,
    config: &AdapterConfig,
    layout: &Layout,
    file: &SafeTensors<'_>,
    dir: &Path,
    problems: &mut Vec<String>,
) -> Result<BTreeMap<String, TensorData>, FileError> {
    let mut layers = BTreeMap::new();
    let mut order = Vec::new();
    visit_linears::<B, M>(module, |path, layer| {
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

    let mut found = BTreeMap::new();
    let tail = suffix(config);
    for (name, view) in file.iter() {
        if parameter_of(layout, name).is_some() {
            continue;
        }
        let layer = name
            .strip_prefix(PREFIX)
            .and_then(|rest| layer_of(config, rest));
        let Some(module_path) = layer else {
            problems.push(format!(
                "{name}: unknown tensor; {} adapters are named {PREFIX}<module>.{tail}, and {CONFIG_FILE} lists no module or parameter of that name",
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
            (Some(layer), true) => match checked(config, module_path, layer, &view) {
                Ok(data) => {
                    found.insert(module_path.to_string(), data);
                }
                Err(problem) => problems.push(format!("{name}: {problem}")),
            },
        }
    }
    for target in &targeted {
        let name = format!("{PREFIX}{target}.{tail}");
        if file.tensor(&name).is_err() {
            problems.push(format!("{name}: missing"));
        }
    }
    Ok(found)
}

/// The values of the parameters held whole, by name.
fn values<B: Backend, M: Module<B>>(
    module: &M,
    layout: &Layout,
    contents: &Contents,
    file: &SafeTensors<'_>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, TensorData> {
    let infos = infos::<B, M>(module);
    let mut found = BTreeMap::new();
    for name in &contents.full {
        let key = key(layout, name);
        let Ok(view) = file.tensor(&key) else {
            continue;
        };
        let data = data(&view).map_err(|problem| format!("{key}: {problem}"));
        match data {
            Err(problem) => problems.push(problem),
            Ok(data) => match misfit(infos.get(name), &data) {
                Some(problem) => problems.push(format!("{key}: {problem}")),
                None => {
                    found.insert(name.clone(), data);
                }
            },
        }
    }
    let missing = wanted(layout, &infos, problems);
    let missing = missing.difference(&contents.full);
    problems.extend(missing.map(|name| format!("{}: missing", key(layout, name))));
    found
}

/// The parameters the file must hold whole for this model.
fn wanted(
    layout: &Layout,
    infos: &BTreeMap<String, Info>,
    problems: &mut Vec<String>,
) -> BTreeSet<String> {
    match layout {
        Layout::States => {
            let states: BTreeSet<_> = infos.keys().filter(|n| is_state(n)).cloned().collect();
            if states.is_empty() {
                problems.push("the model has no initial states (time_state) to replace".into());
            }
            states
        }
        Layout::Adapter {
            modules,
            parameters,
            ..
        } => {
            let mut names: BTreeSet<_> = parameters.iter().cloned().collect();
            for entry in modules {
                let mut inside = infos.keys().filter(|n| whole::lies_in(n, entry)).peekable();
                if inside.peek().is_none() {
                    problems.push(format!(
                        "modules_to_save of {CONFIG_FILE}: the model has no module {entry}"
                    ));
                }
                names.extend(inside.cloned());
            }
            names
        }
    }
}

fn put_on<B: Backend, M: Module<B>>(
    module: M,
    config: &AdapterConfig,
    mut adapters: BTreeMap<String, TensorData>,
) -> M {
    let config = config.clone();
    map_linears(module, move |path, mut layer: BoneLinear<B>| {
        if let Some(data) = adapters.remove(path) {
            let dtype = adapter_dtype(layer.weight.dtype());
            let device = layer.weight.lazy_device();
            layer.adapter = Some(Adapter::from_data(&config, path, data, &device, dtype));
            layer.state = crate::State::Enabled;
        }
        layer
    })
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
    Ok(data(view)?.convert_dtype(DType::F32))
}

fn data(view: &TensorView<'_>) -> Result<TensorData, String> {
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => return Err(format!("type {other:?}, it must be F32, F16 or BF16")),
    };
    let shape = view.shape().to_vec();
    Ok(TensorData::from_bytes_vec(
        view.data().to_vec(),
        shape,
        dtype,
    ))
}
