//! A module's parameters under the names and in the layout of checkpoints: read, replaced, cast.
//!
//! A parameter's name is its path in the module; a linear layer's weight is `[out, in]`, the
//! transpose of what burn holds. Adapters are no parameters of a checkpoint and left out
//! everywhere.

use crate::{Backend, visit_linears};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use std::collections::{BTreeMap, BTreeSet};

mod change;
mod position;
#[cfg(test)]
mod tests;

pub use change::{cast_to, overlay, train_also};
pub(crate) use position::Position;

type Read = Box<dyn FnOnce() -> TensorData>;

struct Collect<F> {
    position: Position,
    wanted: F,
    found: Vec<(String, Read)>,
}

impl<B: Backend, F: Fn(&str) -> bool> ModuleVisitor<B> for Collect<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.position.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.position.exit(name, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let Some(name) = self.position.parameter() else {
            return;
        };
        if !(self.wanted)(&name) {
            return;
        }
        let tensor = param.val();
        let transposed = self.position.is_transposed(D);
        let read: Read = Box::new(move || {
            let tensor = if transposed {
                tensor.swap_dims(0, 1)
            } else {
                tensor
            };
            tensor.into_data()
        });
        self.found.push((name, read));
    }
}

/// Every float parameter but the adapters', by its path, linear weights as `[out, in]`. A
/// tensor's data is fetched when its turn comes, so that one is held at a time.
pub fn named_weights<B: Backend, M: Module<B>>(
    module: &M,
) -> impl Iterator<Item = (String, TensorData)> + use<B, M> {
    read(collect::<B, M>(module, |_| true))
}

/// [`named_weights`] of the names that `wanted` takes; the others are not fetched.
pub fn weights_where<B: Backend, M: Module<B>>(
    module: &M,
    wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (String, TensorData)> {
    read(collect::<B, M>(module, wanted))
}

fn collect<B: Backend, M: Module<B>>(
    module: &M,
    wanted: impl Fn(&str) -> bool,
) -> Vec<(String, Read)> {
    let mut collect = Collect {
        position: Position::default(),
        wanted,
        found: Vec::new(),
    };
    Module::<B>::visit(module, &mut collect);
    collect.found
}

fn read(found: Vec<(String, Read)>) -> impl Iterator<Item = (String, TensorData)> {
    found.into_iter().map(|(name, read)| (name, read()))
}

/// What is known of a parameter without reading its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Shape in checkpoints: a linear weight's is `[out, in]`.
    pub shape: Vec<usize>,
    /// Precision it is held in.
    pub dtype: DType,
}

struct Describe {
    position: Position,
    found: BTreeMap<String, Info>,
}

impl<B: Backend> ModuleVisitor<B> for Describe {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.position.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.position.exit(name, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let Some(name) = self.position.parameter() else {
            return;
        };
        let mut shape = param.lazy_shape().to_vec();
        if self.position.is_transposed(D) {
            shape.reverse();
        }
        let dtype = param.val().dtype();
        self.found.insert(name, Info { shape, dtype });
    }
}

/// Shape and precision of every parameter that [`named_weights`] gives.
pub fn infos<B: Backend, M: Module<B>>(module: &M) -> BTreeMap<String, Info> {
    let mut describe = Describe {
        position: Position::default(),
        found: BTreeMap::new(),
    };
    Module::<B>::visit(module, &mut describe);
    describe.found
}

/// What is wrong with `data` as the values of a parameter.
pub(crate) fn misfit(info: Option<&Info>, data: &TensorData) -> Option<String> {
    let Some(info) = info else {
        return Some("the model has no such parameter".into());
    };
    if data.shape[..] != info.shape {
        let (found, wanted) = (&data.shape[..], &info.shape);
        return Some(format!("shape {found:?}, the model's has {wanted:?}"));
    }
    if !matches!(
        data.dtype,
        DType::F64 | DType::F32 | DType::F16 | DType::BF16
    ) {
        return Some(format!("type {:?} is no float", data.dtype));
    }
    (!is_finite(data)).then(|| "it holds values that are not finite".into())
}

/// Whether every value is a number.
pub fn is_finite(data: &TensorData) -> bool {
    match data.as_slice::<f32>() {
        Ok(values) => values.iter().all(|value| value.is_finite()),
        Err(_) => data.iter::<f64>().all(f64::is_finite),
    }
}

/// Precision of every parameter that [`named_weights`] gives.
pub fn dtypes<B: Backend, M: Module<B>>(module: &M) -> BTreeMap<String, DType> {
    let infos = infos::<B, M>(module).into_iter();
    infos.map(|(name, info)| (name, info.dtype)).collect()
}

/// Names of the weights under an adapter.
pub(crate) fn adapted_weights<B: Backend, M: Module<B>>(module: &M) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit_linears::<B, M>(module, |path, layer| {
        if layer.adapter().is_some() {
            names.insert(format!("{path}.weight"));
        }
    });
    names
}
