//! Reaches every [`BoneLinear`] inside any module, by path.
//!
//! burn's mappers see tensors, not layers. When our mapper reaches a linear layer's weight, it
//! requests the layer. The `BoneLinear` then hands itself over whole, through a thread-local place.
//! Only the layer runs between the mapper's `enter_module` and `exit_module`. So no other mapper
//! sees the layer there, and no other layer sees the request.

use super::{LINEAR, Place, WEIGHT};
use crate::{Backend, BoneLinear};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use std::any::Any;
use std::cell::Cell;
use std::marker::PhantomData;

/// The contents of the place where mapper and layer meet.
#[derive(Default)]
enum Meeting {
    #[default]
    Nothing,
    /// The mapper requests the layer whose weight it reached.
    Asked,
    /// A `BoneLinear` on its way to the mapper, or back.
    Layer(Box<dyn Any>),
}

thread_local! {
    static MEETING: Cell<Meeting> = const { Cell::new(Meeting::Nothing) };
}

/// Lends `layer` to the mapper that just reached its weight, if the mapper requested it; then
/// returns `None`. After the weight, [`take_back`] returns the mapper's version of the layer.
pub(crate) fn lend<B: Backend>(layer: BoneLinear<B>) -> Option<BoneLinear<B>> {
    if !matches!(MEETING.take(), Meeting::Asked) {
        return Some(layer);
    }
    MEETING.set(Meeting::Layer(Box::new(layer)));
    None
}

/// Takes back the mapper's version of the lent layer.
pub(crate) fn take_back<B: Backend>() -> BoneLinear<B> {
    match MEETING.take() {
        Meeting::Layer(layer) => layer.downcast().map(|layer| *layer).ok(),
        Meeting::Nothing | Meeting::Asked => None,
    }
    .unwrap_or_else(|| unreachable!("a mapper returns a layer of its own backend"))
}

struct MapLinears<B, F> {
    place: Place,
    map: F,
    backend: PhantomData<B>,
}

impl<B: Backend, F: FnMut(&str, BoneLinear<B>) -> BoneLinear<B>> ModuleMapper<B>
    for MapLinears<B, F>
{
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
        if (name, container) == (WEIGHT, LINEAR) {
            MEETING.set(Meeting::Asked);
        }
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.place.exit(name, container);
        if let Meeting::Layer(layer) = MEETING.take() {
            let layer = layer.downcast::<BoneLinear<B>>();
            let mapped = layer.map(|layer| (self.map)(&self.place.path(), *layer));
            MEETING.set(mapped.map_or(Meeting::Nothing, |layer| Meeting::Layer(Box::new(layer))));
        }
    }

    // Lazily initialised parameters stay lazy.
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param
    }
}

/// Replaces every [`BoneLinear`] of `module` by the result of `map`, which gets its path
/// (`model.layers.0.self_attn.q_proj`).
///
/// See the [example](crate::visit).
pub fn map_linears<B: Backend, M: Module<B>>(
    module: M,
    map: impl FnMut(&str, BoneLinear<B>) -> BoneLinear<B>,
) -> M {
    module.map(&mut MapLinears {
        place: Place::default(),
        map,
        backend: PhantomData,
    })
}

/// Does the same as [`map_linears`] with a fallible `map`. It tries every layer.
///
/// The [example](crate::visit) uses `map_linears` in the same way.
///
/// # Errors
///
/// Every error of `map`, in the module's order. The call consumes the module; keep a clone, which
/// shares its storage.
pub fn try_map_linears<B: Backend, M: Module<B>, E>(
    module: M,
    mut map: impl FnMut(&str, BoneLinear<B>) -> Result<BoneLinear<B>, E>,
) -> Result<M, Vec<E>> {
    let mut errors = Vec::new();
    let module = map_linears(module, |path, layer: BoneLinear<B>| {
        let unchanged = layer.clone();
        map(path, layer).unwrap_or_else(|error| {
            errors.push(error);
            unchanged
        })
    });
    if errors.is_empty() {
        Ok(module)
    } else {
        Err(errors)
    }
}

/// Calls `visit` with every [`BoneLinear`] of `module` and its path, in the module's order.
///
/// `visit` gets clones, which share the layers' storage. If burn has not initialised a weight yet,
/// the clone would draw other values. So read shapes at any time, but values only after first use.
///
/// See the [example](crate::visit).
pub fn visit_linears<B: Backend, M: Module<B>>(
    module: &M,
    mut visit: impl FnMut(&str, &BoneLinear<B>),
) {
    map_linears(module.clone(), |path, layer: BoneLinear<B>| {
        visit(path, &layer);
        layer
    });
}
