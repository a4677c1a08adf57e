//! Scans the tensors of a file.

use super::{Contents, Naming, SavedAdapter, as_f32, is_state};
#[cfg(doc)]
use crate::Variant;
use crate::weights::is_finite;
use crate::{AdapterConfig, FileError, Selection};
use bone_files::Checkpoint;
use burn::tensor::{DType, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The contents of a file and all its problems. [`put_on`](Self::put_on) adds the problems with a
/// module to the same list.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// # use bone::saved::SavedAdapter;
/// # use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant};
/// # let layer = BoneLinearConfig::new(6, 4).init::<burn::backend::Flex>(&Default::default());
/// # let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// # let saved = SavedAdapter::of(&bone::attach(vec![layer], &config)?, &config)?;
/// # let folder = tempfile::tempdir()?;
/// # bone::peft::write(&saved, None, folder.path())?;
/// use bone::peft;
/// use std::collections::BTreeMap;
///
/// // The folder has an adapter on the layer `0`, of 6 inputs and 4 outputs.
/// let scan = peft::scan(folder.path())?;
/// assert!(scan.any_name(|name| name == "0"));
/// // This model calls the layer `up`, and has no other parameters.
/// let scan = scan.renamed(|_| "up".to_string());
/// let adapter = scan.fit(&[("up".to_string(), 6, 4)], &BTreeMap::new())?;
/// assert!(adapter.adapts("up"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scan {
    pub(super) saved: SavedAdapter,
    pub(super) problems: Vec<String>,
    /// Layers and parameters that already have a problem in the list.
    pub(super) spoilt: BTreeSet<String>,
}

/// How to interpret a file.
pub(crate) struct Layout<'a> {
    /// The file of its settings.
    pub(crate) settings: PathBuf,
    /// The adapters; `None` for tuned states.
    pub(crate) config: Option<AdapterConfig>,
    pub(crate) naming: Naming,
    /// Ends of paths of modules that must be complete.
    pub(crate) modules: Vec<String>,
    /// Returns whether a tensor outside the adapters is a full parameter, by its name without a
    /// prefix.
    pub(crate) is_full: &'a dyn Fn(&str) -> bool,
    /// Whether blocks lie below one another, `[n·r, r]`.
    pub(crate) is_flat: bool,
    /// The message for a tensor of unknown kind.
    pub(crate) unknown: String,
}

impl Layout<'_> {
    /// Describes a file of only the initial states of a recurrent model's blocks.
    pub(crate) fn states(settings: PathBuf) -> Self {
        Self {
            settings,
            config: None,
            naming: Naming::RWKV_BONE,
            modules: Vec::new(),
            is_full: &is_state,
            is_flat: false,
            unknown: "states must be named blocks.N.att.time_state".into(),
        }
    }
}

impl Scan {
    /// Scans the tensors of `file`.
    ///
    /// # Errors
    ///
    /// A tensor cannot be read.
    pub(crate) fn new(layout: Layout<'_>, file: &Checkpoint) -> Result<Self, FileError> {
        let Layout {
            settings,
            config,
            naming,
            modules,
            is_full,
            is_flat,
            unknown,
        } = layout;
        let path = file.files().first().cloned().unwrap_or_default();
        let mut scan = Self {
            saved: SavedAdapter {
                path,
                settings,
                config,
                layers: BTreeMap::new(),
                full: BTreeMap::new(),
                modules,
                naming,
            },
            problems: Vec::new(),
            spoilt: BTreeSet::new(),
        };
        let mut layers = BTreeMap::<String, BTreeMap<&str, TensorData>>::new();
        for (key, info) in file.tensors() {
            let adapter = match scan.saved.config {
                Some(_) => naming.split(key),
                None => None,
            };
            let full = naming.split_full(key).filter(|name| is_full(name));
            let name = match (adapter, full) {
                (Some((layer, _)), _) => layer,
                (None, Some(name)) => name,
                (None, None) if is_of_base(key) => {
                    scan.problems.push(format!(
                        "{key}: a base weight, not an adapter; save the adapter again with \
                         save_embedding_layers=False, or remove this tensor"
                    ));
                    continue;
                }
                (None, None) => {
                    scan.problems
                        .push(format!("{key}: unknown tensor; {unknown}"));
                    continue;
                }
            };
            let data = match bone_files::burn_dtype(info.dtype) {
                Some(DType::F32 | DType::F16 | DType::BF16) => {
                    file.data(key).map_err(|error| FileError::Format {
                        path: scan.saved.path.clone(),
                        reason: error.to_string(),
                    })?
                }
                _ => {
                    let found = info.dtype;
                    scan.problem(
                        key,
                        name,
                        format!("type {found} is not supported; expected F32, F16 or BF16"),
                    );
                    continue;
                }
            };
            if !is_finite(&data) {
                scan.problem(key, name, "it has values that are not finite".into());
                continue;
            }
            match adapter {
                Some((layer, tensor)) => {
                    let mut data = as_f32(data);
                    if is_flat && let [rows, rank] = data.shape[..] {
                        data.shape = [rows / rank, rank, rank].into();
                    }
                    let tensors = layers.entry(layer.to_string()).or_default();
                    tensors.insert(tensor, data);
                }
                None => {
                    scan.saved.full.insert(name.to_string(), data);
                }
            }
        }
        scan.take_layers(layers);
        Ok(scan)
    }

    fn problem(&mut self, key: &str, name: &str, problem: String) {
        self.problems.push(format!("{key}: {problem}"));
        self.spoilt.insert(name.to_string());
    }

    /// Puts each layer's tensors in order.
    fn take_layers(&mut self, layers: BTreeMap<String, BTreeMap<&str, TensorData>>) {
        let Some(config) = self.saved.config.clone() else {
            return;
        };
        for (layer, mut tensors) in layers {
            let mut taken = Vec::new();
            for (name, wanted) in pattern(&config) {
                let key = self.saved.naming.key(&layer, name);
                match tensors.remove(name) {
                    None if self.spoilt.contains(&layer) => {}
                    None => self.problem(&key, &layer, "missing".into()),
                    Some(data) if !wanted.is(&data.shape) => {
                        let (found, rank) = (&data.shape[..], config.rank);
                        let kind = config.variant.name();
                        let problem = format!(
                            "expected shape {wanted} for {kind} of rank {rank}, found {found:?}"
                        );
                        self.problem(&key, &layer, problem);
                    }
                    Some(data) => taken.push(data),
                }
            }
            if !self.spoilt.contains(&layer) {
                self.saved.layers.insert(layer, taken);
            }
        }
    }

    /// Lists a parameter as missing if it is absent.
    pub(crate) fn require_full(&mut self, name: &str) {
        if !self.saved.full.contains_key(name) && !self.spoilt.contains(name) {
            let key = self.saved.naming.full_key(name);
            self.problem(&key, name, "missing".into());
        }
    }

    /// Returns whether a layer or parameter has a name that satisfies `is`.
    ///
    /// Example: [`Scan`].
    pub fn any_name(&self, is: impl Fn(&str) -> bool) -> bool {
        let saved = &self.saved;
        let names = saved.layers.keys().chain(saved.full.keys());
        names.chain(&self.spoilt).any(|name| is(name))
    }

    /// Renames every layer, parameter and target with `name`, for a model whose modules have other
    /// names in another tool. A target pattern becomes a list of the layers in the file.
    ///
    /// Example: [`Scan`].
    pub fn renamed(mut self, name: impl Fn(&str) -> String) -> Self {
        fn keys<V>(
            map: BTreeMap<String, V>,
            name: &impl Fn(&str) -> String,
        ) -> BTreeMap<String, V> {
            let renamed = map.into_iter();
            renamed.map(|(key, value)| (name(&key), value)).collect()
        }
        let saved = &mut self.saved;
        saved.layers = keys(std::mem::take(&mut saved.layers), &name);
        saved.full = keys(std::mem::take(&mut saved.full), &name);
        saved.modules = saved.modules.iter().map(|end| name(end)).collect();
        self.spoilt = self.spoilt.iter().map(|path| name(path)).collect();
        if let Some(config) = &mut saved.config {
            let selection = |selection: &Selection| match selection {
                Selection::AllLinear => Selection::AllLinear,
                Selection::Names(names) => {
                    Selection::Names(names.iter().map(|end| name(end)).collect())
                }
                Selection::Regex(_) => Selection::Names(saved.layers.keys().cloned().collect()),
            };
            let targets = &mut config.targets;
            // The listed layers contain none that the pattern excludes.
            targets.exclude = match &targets.exclude {
                Some(Selection::Regex(_)) => {
                    targets.modules = Selection::Names(saved.layers.keys().cloned().collect());
                    None
                }
                exclude => exclude.as_ref().map(selection),
            };
            targets.modules = selection(&targets.modules);
        }
        self
    }

    /// Does the same as [`SavedAdapter::stands_on_residual`].
    ///
    /// See the [example](crate::saved).
    pub fn stands_on_residual(&self) -> bool {
        self.saved.stands_on_residual()
    }

    /// Returns the contents, without the values.
    ///
    /// See the [example](crate::saved).
    pub fn contents(&self) -> Contents {
        self.saved.contents()
    }

    /// Returns the adapter, independent of a model.
    ///
    /// See the [example](crate::saved).
    ///
    /// # Errors
    ///
    /// [`FileError::Mismatch`] lists all its problems.
    pub fn finish(self) -> Result<SavedAdapter, FileError> {
        let Self {
            saved,
            mut problems,
            ..
        } = self;
        if saved.layers.is_empty() && saved.full.is_empty() && problems.is_empty() {
            problems.push("it has no tensors".into());
        }
        // A tensor with a problem is not missing.
        if problems.is_empty() {
            problems = saved.incomplete();
        }
        match problems.is_empty() {
            true => Ok(saved),
            false => Err(FileError::Mismatch {
                path: saved.path,
                problems,
            }),
        }
    }
}

/// Returns whether PEFT saves such a tensor beside adapters on its own: those of the input and
/// output embedding layers.
fn is_of_base(key: &str) -> bool {
    let ends = [
        "embed_tokens.weight",
        "lm_head.weight",
        ".base_layer.weight",
    ];
    Naming::is_pefts(key) && ends.iter().any(|end| key.ends_with(end))
}

/// A shape whose sizes are known as far as the rank determines them; `None` matches any size.
struct Pattern(Vec<Option<usize>>);

impl Pattern {
    fn is(&self, shape: &[usize]) -> bool {
        let same = |(wanted, found): (&Option<usize>, &usize)| wanted.is_none_or(|w| w == *found);
        self.0.len() == shape.len() && self.0.iter().zip(shape).all(same)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = |size: &Option<usize>| size.map_or("n".to_string(), |size| size.to_string());
        write!(
            f,
            "[{}]",
            self.0.iter().map(size).collect::<Vec<_>>().join(", ")
        )
    }
}

/// Returns the shapes of an adapter's tensors on a layer of any width, in the order of
/// [`Variant::shapes`].
fn pattern(config: &AdapterConfig) -> Vec<(&'static str, Pattern)> {
    let sizes = config.variant.method().shapes(config.rank, [None, None]);
    let names = config.variant.tensor_names().iter().copied();
    names.zip(sizes.into_iter().map(Pattern)).collect()
}
