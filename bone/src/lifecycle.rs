//! What is done with a module's adapters as a whole.

use crate::weights::Position;
use crate::{Adapter, Backend, BoneLinear, LayerError, MergeError, map_linears, visit_linears};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use std::{cell::RefCell, rc::Rc};

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
    position: Position,
}

impl<B: Backend> ModuleMapper<B> for SetTrainable {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.position.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.position.exit(name, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let trains = match self.position.is_adapter() {
            true => self.position.is_trainable_adapter(),
            false => !self.adapters_only,
        };
        param.set_require_grad(trains)
    }
}

/// Freezes everything but the adapters.
pub fn freeze_base<B: Backend, M: Module<B>>(module: M) -> M {
    module.map(&mut SetTrainable {
        adapters_only: true,
        position: Position::default(),
    })
}

/// Makes every float parameter trainable, adapters included.
pub fn unfreeze_all<B: Backend, M: Module<B>>(module: M) -> M {
    module.map(&mut SetTrainable {
        adapters_only: false,
        position: Position::default(),
    })
}

struct Count(ParamCount);

impl<B: Backend> ModuleVisitor<B> for Count {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let size = param.lazy_shape().num_elements();
        self.0.total += size;
        if param.is_require_grad() {
            self.0.trainable += size;
        }
    }
}

/// Counts parameters. On a backend without autodiff nothing is trainable.
pub fn count_params<B: Backend, M: Module<B>>(module: &M) -> ParamCount {
    let mut count = Count(ParamCount {
        trainable: 0,
        total: 0,
    });
    module.visit(&mut count);
    count.0
}

/// Lets every adapter take part in the forward.
pub fn enable<B: Backend, M: Module<B>>(module: M) -> M {
    map_linears(module, |_, layer: BoneLinear<B>| layer.set_enabled(true))
}

/// Leaves every adapter out of the forward: the base model's output.
pub fn disable<B: Backend, M: Module<B>>(module: M) -> M {
    map_linears(module, |_, layer: BoneLinear<B>| layer.set_enabled(false))
}

/// Sets the dropout probability of every adapter that has one.
pub fn with_dropout<B: Backend, M: Module<B>>(module: M, dropout: f64) -> M {
    map_linears(module, move |_, mut layer: BoneLinear<B>| {
        layer.adapter = layer.adapter.map(|adapter| adapter.with_dropout(dropout));
        layer
    })
}

/// The parameters that LoRA+ gives a learning rate of their own: every LoRA's `B`.
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
/// # Errors
///
/// [`MergeError`] lists every layer that could not be merged. The module given is consumed: a
/// clone shares its storage.
pub fn merge<B: Backend, M: Module<B>>(module: M) -> Result<M, MergeError> {
    on_adapted(module, BoneLinear::merge)
}

/// Takes every merged adapter out of its weight again; how exactly is said at
/// [`BoneLinear::unmerge`].
///
/// # Errors
///
/// As [`merge`].
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
    let problems = Rc::new(RefCell::new(Vec::new()));
    let collected = problems.clone();
    let module = map_linears(module, move |path, layer: BoneLinear<B>| {
        if layer.adapter().is_none() {
            return layer;
        }
        let unchanged = layer.clone();
        operation(layer, path).unwrap_or_else(|error| {
            collected.borrow_mut().push(error);
            unchanged
        })
    });
    let problems = problems.take();
    if problems.is_empty() {
        Ok(module)
    } else {
        Err(MergeError::Layers(problems))
    }
}
