//! Puts the contents of a file on a module.

use super::{Contents, SavedAdapter, Scan, is_state, whole};
use crate::weights::{Info, infos, misfit, overlay};
use crate::{
    Adapter, AdapterConfig, Backend, BoneLinear, FileError, Misfit, State, try_map_linears,
    visit_linears,
};
use burn::module::Module;
use burn::tensor::TensorData;
use std::collections::{BTreeMap, BTreeSet};

/// A linear layer that may get an adapter.
struct Place {
    path: String,
    d_input: usize,
    d_output: usize,
    /// Why the layer cannot get one.
    refused: Option<Misfit>,
}

impl Scan {
    /// Puts the adapter on `module` and returns its contents. Full parameters keep the file's
    /// precision; [`cast_to`](crate::weights::cast_to) rounds them.
    ///
    /// [`peft::load`](crate::peft::load) calls it in the [example](crate::peft).
    ///
    /// # Errors
    ///
    /// [`FileError::Mismatch`] lists every problem of the file, every tensor without a place in the
    /// model, every targeted layer and listed parameter without a tensor, and every wrong shape. On
    /// an error the module gets nothing.
    pub fn put_on<B: Backend, M: Module<B>>(
        mut self,
        module: M,
    ) -> Result<(M, Contents), FileError> {
        let mut layers = Vec::new();
        let config = self.saved.config.clone();
        visit_linears::<B, M>(&module, |path, layer| {
            let checked = config.as_ref().map(|config| layer.check(config, path));
            let refused = checked.and_then(|checked| checked.err().map(|error| error.reason));
            let [d_input, d_output] = layer.dims();
            layers.push(Place {
                path: path.to_string(),
                d_input,
                d_output,
                refused,
            });
        });
        self.check(&layers, &infos::<B, M>(&module))?;
        self.saved.onto::<B, M>(module)
    }

    /// Checks that the adapter fits a model of these linear layers (path, inputs, outputs) and
    /// parameters, and returns it.
    ///
    /// Example: [`Scan`].
    ///
    /// # Errors
    ///
    /// Same as [`put_on`](Self::put_on).
    pub fn fit(
        mut self,
        layers: &[(String, usize, usize)],
        parameters: &BTreeMap<String, Info>,
    ) -> Result<SavedAdapter, FileError> {
        let config = self.saved.config.clone();
        let places: Vec<_> = layers
            .iter()
            .map(|(path, d_input, d_output)| {
                let checked = config.as_ref().map(|config| {
                    let variant = config.variant;
                    variant.check(config.rank, *d_input, *d_output)
                });
                Place {
                    path: path.clone(),
                    d_input: *d_input,
                    d_output: *d_output,
                    refused: checked.and_then(Result::err),
                }
            })
            .collect();
        self.check(&places, parameters)?;
        Ok(self.saved)
    }

    /// Checks the file and its fit to these layers and parameters.
    ///
    /// # Errors
    ///
    /// Lists every problem of the file, and everything that does not fit these layers and
    /// parameters.
    fn check(
        &mut self,
        layers: &[Place],
        parameters: &BTreeMap<String, Info>,
    ) -> Result<(), FileError> {
        if let Some(config) = self.saved.config.clone() {
            self.check_layers(layers, &config)?;
        }
        self.check_full(layers, parameters);
        if self.problems.is_empty() {
            return Ok(());
        }
        // The file lists its tensors in arbitrary order.
        self.problems.sort();
        Err(FileError::Mismatch {
            path: self.saved.path.clone(),
            problems: std::mem::take(&mut self.problems),
        })
    }

    /// Checks that the adapters fit the targeted layers.
    fn check_layers(&mut self, places: &[Place], config: &AdapterConfig) -> Result<(), FileError> {
        let order: Vec<_> = places.iter().map(|place| place.path.clone()).collect();
        let layers: BTreeMap<_, _> = places.iter().map(|place| (&place.path, place)).collect();
        let targeted = config
            .targets
            .resolve(&order)
            .map_err(|source| FileError::Attach {
                path: self.saved.settings.clone(),
                source,
            })?;
        let naming = self.saved.naming;
        let first = config.variant.tensor_names()[0];
        let mut problems = Vec::new();
        let known = self.saved.layers.keys().chain(&self.spoilt);
        for path in known {
            let key = naming.key(path, first);
            let Some(place) = layers.get(path) else {
                // This entry is a full parameter with a problem, not a layer.
                if self.saved.layers.contains_key(path) {
                    problems.push(format!("{key}: the model has no layer {path}"));
                }
                continue;
            };
            if !targeted.contains(path) {
                problems.push(format!("{key}: {path} is not a target"));
                continue;
            }
            if let Some(reason) = &place.refused {
                problems.push(format!("{key}: {reason}"));
                continue;
            }
            let wanted = config
                .variant
                .shapes(config.rank, place.d_input, place.d_output);
            let tensors = self.saved.layers.get(path).into_iter().flatten();
            for (data, (name, shape)) in tensors.zip(wanted) {
                if data.shape[..] != shape {
                    problems.push(format!(
                        "{}: expected shape {shape:?} for rank {}, found {:?}",
                        naming.key(path, name),
                        config.rank,
                        &data.shape[..]
                    ));
                }
            }
        }
        let there =
            |path: &String| self.saved.layers.contains_key(path) || self.spoilt.contains(path);
        for target in targeted.iter().filter(|path| !there(path)) {
            for name in config.variant.tensor_names() {
                problems.push(format!("{}: missing", naming.key(target, name)));
            }
        }
        // The result of merging would depend on the order of the two.
        let twice = self
            .saved
            .layers
            .keys()
            .map(|path| format!("{path}.weight"));
        let twice = twice.filter(|name| self.saved.full.contains_key(name));
        problems.extend(twice.map(|name| {
            let (key, kind) = (naming.full_key(&name), config.variant.name());
            format!("{key}: saved in full, but the layer also has {kind}")
        }));
        self.problems.extend(problems);
        Ok(())
    }

    /// Checks that the full parameters belong to the model and that all required ones are present.
    fn check_full(&mut self, places: &[Place], infos: &BTreeMap<String, Info>) {
        let naming = self.saved.naming;
        let mut problems = Vec::new();
        for (name, data) in &self.saved.full {
            if let Some(problem) = misfit(infos.get(name), data) {
                problems.push(format!("{}: {problem}", naming.full_key(name)));
            }
        }
        let mut wanted = BTreeSet::new();
        if self.saved.config.is_none() {
            wanted.extend(infos.keys().filter(|name| is_state(name)));
            if wanted.is_empty() {
                problems.push("the model has no initial states (time_state) to replace".into());
            }
        }
        let linears: BTreeSet<_> = places.iter().map(|place| place.path.as_str()).collect();
        for entry in &self.saved.modules {
            let inside: Vec<_> = infos
                .keys()
                .filter(|name| whole::lies_in(name, entry))
                .collect();
            if inside.is_empty() {
                problems.push(format!("modules_to_save: the model has no module {entry}"));
            }
            let shared = inside.iter().filter(|name| {
                let is_matrix = infos[**name].shape.len() == 2;
                is_matrix && whole::may_be_the_head(name, &linears)
            });
            problems.extend(shared.map(|name| {
                format!(
                    "{}: the model's head and embedding are tied, but PEFT trained them \
                     separately, which is not supported",
                    naming.full_key(name)
                )
            }));
            wanted.extend(inside);
        }
        let missing = wanted
            .into_iter()
            .filter(|name| !self.saved.full.contains_key(*name) && !self.spoilt.contains(*name));
        problems.extend(missing.map(|name| format!("{}: missing", naming.full_key(name))));
        self.problems.extend(problems);
    }
}

impl SavedAdapter {
    /// Puts the checked contents on the module.
    fn onto<B: Backend, M: Module<B>>(self, module: M) -> Result<(M, Contents), FileError> {
        let contents = self.contents();
        let (path, naming) = (self.path, self.naming);
        let module = overlay::<B, M>(module, self.full).map_err(|error| FileError::Mismatch {
            path: path.clone(),
            problems: error.problems,
        })?;
        let Some(config) = self.config else {
            return Ok((module, contents));
        };
        let mut layers = self.layers;
        try_map_linears(module, |layer_path, layer: BoneLinear<B>| {
            let Some(tensors) = layers.remove(layer_path) else {
                return Ok(layer);
            };
            with_tensors(layer, &config, layer_path, tensors).map_err(|reason| {
                let key = naming.key(layer_path, config.variant.tensor_names()[0]);
                format!("{key}: {reason}")
            })
        })
        .map(|module| (module, contents))
        .map_err(|problems| FileError::Mismatch { path, problems })
    }
}

/// Returns the layer with an adapter of these tensors, whose shapes were checked.
///
/// # Errors
///
/// The adapter belongs to a residual that cannot be computed from the weight.
pub(crate) fn with_tensors<B: Backend>(
    mut layer: BoneLinear<B>,
    config: &AdapterConfig,
    path: &str,
    tensors: Vec<TensorData>,
) -> Result<BoneLinear<B>, String> {
    let adapter = Adapter::new(config, path, &layer.weight, Some(tensors))?;
    layer.adapter = Some(adapter);
    layer.state = State::Enabled;
    Ok(layer)
}
