//! Replaces a module's parameters, casts them, and makes them trainable.

use super::{adapted_weights, infos, misfit};
use crate::visit::{FloatMapper, Place, map_floats};
use crate::{AttachError, Backend, ValueError};
use burn::module::{Module, Param};
use burn::tensor::{DType, ElementConversion, Tensor, TensorData};
use std::collections::BTreeMap;

struct Overlay {
    values: BTreeMap<String, TensorData>,
}

impl<B: Backend> FloatMapper<B> for Overlay {
    fn map<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let name = place.checkpoint_name();
        let Some(data) = name.and_then(|name| self.values.remove(&name)) else {
            return param;
        };
        let dtype = data.dtype;
        let tensor = Tensor::<B, D>::from_data(data, (&param.lazy_device(), dtype));
        let tensor = if place.is_transposed(D) {
            tensor.swap_dims(0, 1)
        } else {
            tensor
        };
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

/// Replaces parameters by `values`, each by its name and in the layout of checkpoints. The values
/// keep their own precision: a parameter trained in f32 over a bf16 base loses nothing. Whether a
/// parameter trains does not change.
///
/// See the [example](crate::weights).
///
/// # Errors
///
/// [`ValueError`] lists every name that the module does not have, every wrong shape and every value
/// that is not finite. On an error nothing is replaced.
pub fn overlay<B: Backend, M: Module<B>>(
    module: M,
    values: BTreeMap<String, TensorData>,
) -> Result<M, ValueError> {
    let infos = infos::<B, M>(&module);
    let problems: Vec<_> = values
        .iter()
        .filter_map(|(name, data)| {
            misfit(infos.get(name), data).map(|problem| format!("{name}: {problem}"))
        })
        .collect();
    if !problems.is_empty() {
        return Err(ValueError { problems });
    }
    Ok(map_floats(module, &mut Overlay { values }))
}

struct Cast<'a> {
    dtypes: &'a BTreeMap<String, DType>,
    problems: Vec<String>,
}

impl<B: Backend> FloatMapper<B> for Cast<'_> {
    fn map<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let Some(name) = place.checkpoint_name() else {
            return param;
        };
        let Some(dtype) = self.dtypes.get(&name).copied() else {
            return param;
        };
        if param.val().dtype() == dtype {
            return param;
        }
        let param = param.map(|tensor| {
            let tracked = tensor.is_require_grad();
            // `detach` would keep the tensor tracked; its cast would not be a leaf.
            let tensor = tensor.set_require_grad(false);
            tensor.cast(dtype).set_require_grad(tracked)
        });
        let largest = param.val().abs().max().cast(DType::F32).into_scalar();
        if !largest.elem::<f32>().is_finite() {
            self.problems
                .push(format!("{name}: its values overflow {dtype:?}; use f32"));
        }
        param
    }
}

/// Casts every parameter that `dtypes` names to its precision there. With the
/// [`dtypes`](super::dtypes) of a base, it rounds replaced values to the base's precision. Other
/// parameters stay unchanged.
///
/// See the [example](crate::weights).
///
/// # Errors
///
/// [`ValueError`] lists every parameter that would hold an infinity.
pub fn cast_to<B: Backend, M: Module<B>>(
    module: M,
    dtypes: &BTreeMap<String, DType>,
) -> Result<M, ValueError> {
    let mut cast = Cast {
        dtypes,
        problems: Vec::new(),
    };
    let module = map_floats::<B, M>(module, &mut cast);
    if cast.problems.is_empty() {
        Ok(module)
    } else {
        Err(ValueError {
            problems: cast.problems,
        })
    }
}

struct TrainAlso<F> {
    wanted: F,
}

impl<B: Backend, F: Fn(&str) -> bool> FloatMapper<B> for TrainAlso<F> {
    fn map<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        match place.checkpoint_name() {
            Some(name) if (self.wanted)(&name) => param.map(|tensor| {
                let tensor = tensor.set_require_grad(false);
                let tensor = match tensor.dtype() {
                    DType::F16 | DType::BF16 => tensor.cast(DType::F32),
                    _ => tensor,
                };
                tensor.require_grad()
            }),
            _ => param,
        }
    }
}

/// Makes the parameters whose name satisfies `wanted` train in full, beside the adapters. Call it
/// after [`freeze_base`](crate::freeze_base). Trainable weights are f32 (or f64), independent of
/// the base's precision.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{BoneLinearConfig, count_params, freeze_base, train_also};
/// use burn::backend::{Autodiff, Flex};
///
/// let base = vec![BoneLinearConfig::new(3, 2).init::<Autodiff<Flex>>(&Default::default())];
/// let module = train_also(freeze_base(base), |name| name.ends_with("bias"))?;
/// assert_eq!(count_params(&module).trainable, 2);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`AttachError::Whole`] lists every layer whose weight would train in full and also through its
/// adapter.
pub fn train_also<B: Backend, M: Module<B>>(
    module: M,
    wanted: impl Fn(&str) -> bool,
) -> Result<M, AttachError> {
    let twice = adapted_weights::<B, M>(&module);
    let twice: Vec<_> = twice.into_iter().filter(|name| wanted(name)).collect();
    if !twice.is_empty() {
        return Err(AttachError::Whole(twice));
    }
    Ok(map_floats::<B, M>(module, &mut TrainAlso { wanted }))
}
