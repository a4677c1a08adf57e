//! A module's parameters under the names and in the layout of checkpoints.

use crate::Backend;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

type Read = Box<dyn FnOnce() -> TensorData>;

struct Collect {
    path: Vec<String>,
    inside_adapter: usize,
    inside_linear: Vec<bool>,
    found: Vec<(String, Read)>,
}

impl<B: Backend> ModuleVisitor<B> for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        let linear = container == "Struct:Linear";
        self.inside_adapter += usize::from(linear && name == "adapter");
        self.inside_linear.push(linear);
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.inside_adapter -= usize::from(container == "Struct:Linear" && name == "adapter");
        self.inside_linear.pop();
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if self.inside_adapter > 0 {
            return;
        }
        let tensor = param.val();
        // burn keeps a linear weight [in, out], checkpoints [out, in].
        let transposed = D == 2 && self.inside_linear.last() == Some(&true);
        let read: Read = Box::new(move || {
            let tensor = if transposed {
                tensor.swap_dims(0, 1)
            } else {
                tensor
            };
            tensor.into_data()
        });
        self.found.push((self.path.join("."), read));
    }
}

/// Every float parameter but the adapters', by its path, linear weights as `[out, in]`. A
/// tensor's data is fetched when its turn comes, so that one is held at a time.
pub fn named_weights<B: Backend, M: Module<B>>(
    module: &M,
) -> impl Iterator<Item = (String, TensorData)> + use<B, M> {
    let mut collect = Collect {
        path: Vec::new(),
        inside_adapter: 0,
        inside_linear: Vec::new(),
        found: Vec::new(),
    };
    module.visit(&mut collect);
    collect.found.into_iter().map(|(name, read)| (name, read()))
}

/// The precision a model computes in when its weights are held in `storage`: f32, or f64 for
/// weights in f64.
pub fn compute_dtype(storage: DType) -> DType {
    if storage == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}
