//! Reaching every [`BoneLinear`] inside any module, by path.
//!
//! burn's mappers and visitors see tensors, not layers. A `BoneLinear` that is mapped or visited
//! therefore looks for an operation waiting on this thread and, if there is one for its backend,
//! hands itself over whole. The operation is set only inside [`map_linears`] and
//! [`visit_linears`], so every other mapper sees an ordinary module.

use crate::{Backend, BoneLinear};
use burn::module::{Module, ModuleMapper, ModuleVisitor};
use std::{any::Any, cell::RefCell, ops::ControlFlow, rc::Rc};

thread_local! {
    static WAITING: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

type Path = Rc<RefCell<Vec<String>>>;
type MapFn<B> = Box<dyn FnMut(&str, BoneLinear<B>) -> BoneLinear<B>>;
type Found<B> = Rc<RefCell<Vec<(String, BoneLinear<B>)>>>;

struct MapAll<B: Backend> {
    path: Path,
    function: MapFn<B>,
}

struct Collect<B: Backend> {
    path: Path,
    found: Found<B>,
}

/// Sets the waiting operation for as long as it lives, even if a mapped layer panics.
struct Scope {
    previous: Option<Box<dyn Any>>,
}

impl Scope {
    fn new(operation: Box<dyn Any>) -> Self {
        Self {
            previous: WAITING.with(|waiting| waiting.replace(Some(operation))),
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        WAITING.with(|waiting| waiting.replace(self.previous.take()));
    }
}

/// Takes the waiting operation out while `use_it` runs, so that nothing inside sees it.
fn with_waiting<T: 'static, R>(use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
    let mut waiting = WAITING.with(|waiting| waiting.take())?;
    let result = waiting.downcast_mut::<T>().map(use_it);
    WAITING.with(|slot| slot.replace(Some(waiting)));
    result
}

/// Gives `layer` to the operation waiting on this thread and breaks with what that made of it;
/// continues with `layer` where none is waiting.
pub(crate) fn offer_map<B: Backend>(
    layer: BoneLinear<B>,
) -> ControlFlow<BoneLinear<B>, BoneLinear<B>> {
    let mut layer = Some(layer);
    let mapped = with_waiting::<MapAll<B>, _>(|operation| {
        let path = operation.path.borrow().join(".");
        layer.take().map(|layer| (operation.function)(&path, layer))
    });
    match (mapped.flatten(), layer) {
        (Some(mapped), _) => ControlFlow::Break(mapped),
        (None, Some(layer)) => ControlFlow::Continue(layer),
        (None, None) => unreachable!("a layer is either mapped or left"),
    }
}

/// Shows `layer` to the operation waiting on this thread; `true` if there was one.
pub(crate) fn offer_visit<B: Backend>(layer: &BoneLinear<B>) -> bool {
    with_waiting::<Collect<B>, _>(|operation| {
        let path = operation.path.borrow().join(".");
        operation.found.borrow_mut().push((path, layer.clone()));
    })
    .is_some()
}

struct PathTracker(Path);

impl PathTracker {
    fn enter(&self, name: &str) {
        self.0.borrow_mut().push(name.to_string());
    }

    fn exit(&self) {
        self.0.borrow_mut().pop();
    }
}

impl<B: Backend> ModuleMapper<B> for PathTracker {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.exit();
    }

    // Lazily initialised parameters stay so.
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<burn::tensor::Tensor<B, D>>,
    ) -> burn::module::Param<burn::tensor::Tensor<B, D>> {
        param
    }
}

impl<B: Backend> ModuleVisitor<B> for PathTracker {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.exit();
    }
}

/// Replaces every [`BoneLinear`] of `module` by what `function` makes of it, given its path
/// (`model.layers.0.self_attn.q_proj`).
pub fn map_linears<B: Backend, M: Module<B>>(
    module: M,
    function: impl FnMut(&str, BoneLinear<B>) -> BoneLinear<B> + 'static,
) -> M {
    let path = Path::default();
    let _scope = Scope::new(Box::new(MapAll::<B> {
        path: path.clone(),
        function: Box::new(function),
    }));
    module.map(&mut PathTracker(path))
}

/// Calls `function` with every [`BoneLinear`] of `module` and its path, in the module's order.
///
/// It sees clones. They share the layers' storage, but a weight that burn has yet to initialise
/// would be drawn anew in the clone: shapes can be asked for at any time, values after first use.
pub fn visit_linears<B: Backend, M: Module<B>>(
    module: &M,
    mut function: impl FnMut(&str, &BoneLinear<B>),
) {
    let path = Path::default();
    let found = Found::<B>::default();
    {
        let _scope = Scope::new(Box::new(Collect {
            path: path.clone(),
            found: found.clone(),
        }));
        module.visit(&mut PathTracker(path));
    }
    for (path, layer) in found.borrow().iter() {
        function(path, layer);
    }
}
