//! Operations on all adapters of a module.

use crate::visit::{FloatMapper, FloatParam, Place, map_floats, visit_floats};
use crate::{
    Adapter, Backend, BoneLinear, LayerError, MergeError, map_linears, try_map_linears,
    visit_linears,
};
use burn::module::{Module, Param, ParamId};
use burn::tensor::Tensor;

/// Numbers of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamCount {
    /// Parameters that get gradients.
    pub trainable: usize,
    /// All parameters.
    pub total: usize,
}

struct SetTrainable {
    adapters_only: bool,
}

impl<B: Backend> FloatMapper<B> for SetTrainable {
    fn map<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        param.set_require_grad(if place.is_adapter() {
            place.is_trainable_adapter()
        } else {
            !self.adapters_only
        })
    }
}

/// Freezes everything except the adapters.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant};
/// use burn::backend::{Autodiff, Flex};
///
/// let base = vec![BoneLinearConfig::new(6, 4).init::<Autodiff<Flex>>(&Default::default())];
/// let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// let module = bone::freeze_base(bone::attach(base, &config)?);
/// assert_eq!(bone::count_params(&module).trainable, 2 * 4);
/// let module = bone::unfreeze_all(module);
/// assert_eq!(bone::count_params(&module).trainable, 2 * 4 + 6 * 4 + 4);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn freeze_base<B: Backend, M: Module<B>>(module: M) -> M {
    map_floats(
        module,
        &mut SetTrainable {
            adapters_only: true,
        },
    )
}

/// Makes every float parameter trainable, adapters included.
///
/// Example: [`freeze_base`].
pub fn unfreeze_all<B: Backend, M: Module<B>>(module: M) -> M {
    map_floats(
        module,
        &mut SetTrainable {
            adapters_only: false,
        },
    )
}

/// Counts parameters. On a backend without autodiff nothing is trainable.
///
/// Example: [`freeze_base`].
pub fn count_params<B: Backend, M: Module<B>>(module: &M) -> ParamCount {
    let mut count = ParamCount {
        trainable: 0,
        total: 0,
    };
    visit_floats(module, |param: FloatParam<'_, B>| {
        let size = param.shape.num_elements();
        count.total += size;
        if param.is_require_grad() {
            count.trainable += size;
        }
    });
    count
}

/// Enables every adapter in the forward.
///
/// Example: [`disable`].
pub fn enable<B: Backend, M: Module<B>>(module: M) -> M {
    map_linears(module, |_, layer: BoneLinear<B>| layer.set_enabled(true))
}

/// Disables every adapter in the forward, which then gives the base model's output.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinearConfig, Selection, State, Targets, Variant};
/// use burn::backend::Flex;
///
/// let base = vec![BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default())];
/// let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// let module = bone::disable(bone::attach(base, &config)?);
/// assert_eq!(module[0].state(), State::Disabled);
/// let module = bone::enable(module);
/// assert_eq!(module[0].state(), State::Enabled);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn disable<B: Backend, M: Module<B>>(module: M) -> M {
    map_linears(module, |_, layer: BoneLinear<B>| layer.set_enabled(false))
}

/// Sets the dropout probability of every adapter that supports dropout.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant};
/// use burn::backend::Flex;
///
/// let base = vec![BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default())];
/// let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// let module = bone::with_dropout(bone::attach(base, &config)?, 0.1);
/// let adapter = module[0].adapter().expect("it was attached");
/// assert_eq!(adapter.dropout(), 0.1);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn with_dropout<B: Backend, M: Module<B>>(module: M, dropout: f64) -> M {
    map_linears(module, |_, mut layer: BoneLinear<B>| {
        if let Some(adapter) = &mut layer.adapter {
            adapter.on_layer_mut().set_dropout(dropout);
        }
        layer
    })
}

/// Returns the parameters that get LoRA+'s separate learning rate: `B` of every LoRA.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinearConfig, LoraConfig, LoraStart, Selection, Targets, Variant};
/// use burn::backend::Flex;
///
/// let base = vec![BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default())];
/// let lora = LoraConfig { alpha: 4.0, rslora: false, start: LoraStart::Random };
/// let config = AdapterConfig::new(Variant::Lora(lora), 2, Targets::new(Selection::AllLinear));
/// let module = bone::attach(base, &config)?;
/// assert_eq!(bone::lora_b_ids(&module).len(), 1);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lora_b_ids<B: Backend, M: Module<B>>(module: &M) -> Vec<ParamId> {
    let mut ids = Vec::new();
    visit_linears::<B, M>(module, |_, layer| {
        if let Some(Adapter::Lora(lora)) = layer.adapter() {
            ids.push(lora.factors.lora_b.id);
        }
    });
    ids
}

/// Adds every adapter to its weight.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinearConfig, Selection, State, Targets, Variant};
/// use burn::backend::Flex;
///
/// let base = vec![BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default())];
/// let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// let merged = bone::merge(bone::attach(base, &config)?)?;
/// assert_eq!(merged[0].state(), State::Merged);
/// let module = bone::unmerge(merged)?;
/// assert_eq!(module[0].state(), State::Enabled);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`MergeError`] lists every layer that could not be merged. The call consumes the module; keep a
/// clone, which shares its storage.
pub fn merge<B: Backend, M: Module<B>>(module: M) -> Result<M, MergeError> {
    on_adapted(module, BoneLinear::merge)
}

/// Removes every merged adapter from its weight. [`BoneLinear::unmerge`] says how exact this is.
///
/// Example: [`merge`].
///
/// # Errors
///
/// Like [`merge`].
pub fn unmerge<B: Backend, M: Module<B>>(module: M) -> Result<M, MergeError> {
    on_adapted(module, BoneLinear::unmerge)
}

fn on_adapted<B: Backend, M: Module<B>>(
    module: M,
    operation: fn(BoneLinear<B>, &str) -> Result<BoneLinear<B>, LayerError>,
) -> Result<M, MergeError> {
    let mut adapted = 0;
    visit_linears::<B, M>(&module, |_, layer| {
        adapted += usize::from(layer.adapter().is_some());
    });
    if adapted == 0 {
        return Err(MergeError::NoAdapter);
    }
    try_map_linears(module, |path, layer: BoneLinear<B>| {
        if layer.adapter().is_some() {
            operation(layer, path)
        } else {
            Ok(layer)
        }
    })
    .map_err(MergeError::Layers)
}
