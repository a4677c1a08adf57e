//! Putting values into a module's parameters, casting them, letting them train.

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

/// Replaces parameters by `values`, each under its name and in its layout in checkpoints, and
/// keeps the values' own precision: one that trained in f32 over a base in bf16 loses nothing.
/// Whether a parameter trains stays as it is.
///
/// # Errors
///
/// [`ValueError`] lists every name the module does not have, every wrong shape and every value
/// that is not finite. Nothing is replaced in part.
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
            // `detach` would keep a leaf a leaf, whose cast is none.
            let tensor = tensor.set_require_grad(false);
            tensor.cast(dtype).set_require_grad(tracked)
        });
        let largest = param.val().abs().max().cast(DType::F32).into_scalar();
        if !largest.elem::<f32>().is_finite() {
            self.problems
                .push(format!("{name}: it would not be finite in {dtype:?}"));
        }
        param
    }
}

/// Casts every parameter that `dtypes` names to the precision given there: with the [`dtypes`](super::dtypes) of
/// a base, values that were put over it are rounded to its precision. What is not named stays as
/// it is.
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

/// Lets the parameters that `wanted` takes by name train whole, beside the adapters: call it after
/// [`freeze_base`](crate::freeze_base). Weights that train are f32 (or f64), whatever the base is
/// held in.
///
/// # Errors
///
/// [`AttachError::Whole`] lists every layer whose weight would train whole and through the
/// adapter it carries.
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
