//! A module's parameters under the names and in the layout of checkpoints: read, replaced, cast.
//!
//! A parameter's name is its path in the module; a linear layer's weight is `[out, in]`, the
//! transpose of what burn holds. Adapters are not part of a checkpoint and are excluded everywhere.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::BoneLinearConfig;
//! use bone::weights::{cast_to, dtypes, named_weights, overlay};
//! use burn::backend::Flex;
//! use burn::tensor::{DType, TensorData};
//! use std::collections::BTreeMap;
//!
//! let module = vec![BoneLinearConfig::new(3, 2).init::<Flex>(&Default::default())];
//! let weights: BTreeMap<String, TensorData> = named_weights::<Flex, _>(&module).collect();
//! assert_eq!(weights["0.weight"].shape[..], [2, 3]);
//!
//! let bias = TensorData::new(vec![1.0f32, 2.0], [2]);
//! let module = overlay::<Flex, _>(module, BTreeMap::from([("0.bias".to_string(), bias)]))?;
//! let precisions = BTreeMap::from([("0.bias".to_string(), DType::BF16)]);
//! let module = cast_to::<Flex, _>(module, &precisions)?;
//! assert_eq!(dtypes::<Flex, _>(&module)["0.bias"], DType::BF16);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::visit::{FloatParam, read, visit_floats};
use crate::{Backend, visit_linears};
use burn::module::Module;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorData};
use std::collections::{BTreeMap, BTreeSet};

mod change;
#[cfg(test)]
mod tests;

pub use change::{cast_to, overlay, train_also};

/// Returns every float parameter except the adapters', by path, linear weights as `[out, in]`. It
/// fetches a tensor's data when the iterator reaches it, so that only one is held at a time.
///
/// See the [example](crate::weights).
pub fn named_weights<B: Backend, M: Module<B>>(
    module: &M,
) -> impl Iterator<Item = (String, TensorData)> + use<B, M> {
    let found = collect::<B, M>(module, |_| true).into_iter();
    found.map(|(name, tensor)| (name, read::<B>(tensor)))
}

/// Returns the [`named_weights`] whose name satisfies `wanted`; it does not fetch the others.
///
/// The [example](crate::weights) uses `named_weights` in the same way.
pub fn weights_where<B: Backend, M: Module<B>>(
    module: &M,
    wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (String, TensorData)> {
    let found = collect::<B, M>(module, wanted).into_iter();
    found.map(|(name, tensor)| (name, read::<B>(tensor)))
}

fn collect<B: Backend, M: Module<B>>(
    module: &M,
    wanted: impl Fn(&str) -> bool,
) -> Vec<(String, FloatTensor<B>)> {
    let mut found = Vec::new();
    visit_floats(module, |param: FloatParam<'_, B>| {
        let name = param.place.checkpoint_name();
        let Some(name) = name.filter(|name| wanted(name)) else {
            return;
        };
        let tensor = param.primitive();
        let tensor = if param.place.is_transposed(param.shape.len()) {
            B::float_swap_dims(tensor, 0, 1)
        } else {
            tensor
        };
        found.push((name, tensor));
    });
    found
}

/// Properties of a parameter, available without reading its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Shape in checkpoints: a linear weight's is `[out, in]`.
    pub shape: Vec<usize>,
    /// Precision of the parameter.
    pub dtype: DType,
}

/// Returns the shape and precision of every parameter of [`named_weights`].
///
/// The [example](crate::weights) uses `dtypes` in the same way.
pub fn infos<B: Backend, M: Module<B>>(module: &M) -> BTreeMap<String, Info> {
    let mut found = BTreeMap::new();
    visit_floats(module, |param: FloatParam<'_, B>| {
        let Some(name) = param.place.checkpoint_name() else {
            return;
        };
        let mut shape = param.shape.to_vec();
        if param.place.is_transposed(shape.len()) {
            shape.reverse();
        }
        let dtype = param.dtype();
        found.insert(name, Info { shape, dtype });
    });
    found
}

/// Returns why `data` cannot be the values of a parameter.
pub(crate) fn misfit(info: Option<&Info>, data: &TensorData) -> Option<String> {
    let Some(info) = info else {
        return Some("unknown parameter".into());
    };
    if data.shape[..] != info.shape {
        let (found, wanted) = (&data.shape[..], &info.shape);
        return Some(format!("expected shape {wanted:?}, found {found:?}"));
    }
    if !matches!(
        data.dtype,
        DType::F64 | DType::F32 | DType::F16 | DType::BF16
    ) {
        return Some(format!("{:?} is not a float type", data.dtype));
    }
    (!is_finite(data)).then(|| "it has values that are not finite".into())
}

/// Returns whether every value is finite.
///
/// ```
/// use burn::tensor::TensorData;
///
/// assert!(!bone::weights::is_finite(&TensorData::from([1.0f32, f32::NAN])));
/// ```
pub fn is_finite(data: &TensorData) -> bool {
    match data.as_slice::<f32>() {
        Ok(values) => values.iter().all(|value| value.is_finite()),
        Err(_) => data.iter::<f64>().all(f64::is_finite),
    }
}

/// Returns the precision of every parameter of [`named_weights`].
///
/// See the [example](crate::weights).
pub fn dtypes<B: Backend, M: Module<B>>(module: &M) -> BTreeMap<String, DType> {
    let infos = infos::<B, M>(module).into_iter();
    infos.map(|(name, info)| (name, info.dtype)).collect()
}

/// Returns the names of the weights with an adapter.
pub(crate) fn adapted_weights<B: Backend, M: Module<B>>(module: &M) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit_linears::<B, M>(module, |path, layer| {
        if layer.adapter().is_some() {
            names.insert(format!("{path}.weight"));
        }
    });
    names
}
