//! Float parameters and their places in a module.

use super::Place;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};

/// A float parameter of any rank.
pub struct FloatParam<'a, B: Backend> {
    /// Its place in the module.
    pub place: &'a Place,
    /// The id that optimizers use.
    pub id: ParamId,
    /// Its shape. Unlike reading the values, reading the shape does not initialise the parameter.
    pub shape: Shape,
    value: &'a dyn Fn() -> FloatTensor<B>,
}

impl<B: Backend> FloatParam<'_, B> {
    /// Returns its path in the module (`model.norm.weight`).
    pub fn path(&self) -> String {
        self.place.path()
    }

    /// Returns its tensor.
    pub fn primitive(&self) -> FloatTensor<B> {
        (self.value)()
    }

    /// Reads its values from the device, in the module's layout.
    pub fn data(&self) -> TensorData {
        read::<B>(self.primitive())
    }

    /// Returns its precision.
    pub fn dtype(&self) -> DType {
        self.primitive().dtype()
    }

    /// Returns whether it trains.
    pub fn is_require_grad(&self) -> bool {
        B::float_is_require_grad(&self.primitive())
    }
}

/// Reads the values of a tensor of any rank from the device.
pub fn read<B: Backend>(tensor: FloatTensor<B>) -> TensorData {
    // Reading uses the tensor's own shape; the rank of the type is only a label.
    Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(tensor)).into_data()
}

struct Visit<F> {
    place: Place,
    visit: F,
}

impl<B: Backend, F: FnMut(FloatParam<'_, B>)> ModuleVisitor<B> for Visit<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.place.exit(name, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        (self.visit)(FloatParam {
            place: &self.place,
            id: param.id,
            shape: param.lazy_shape(),
            value: &|| param.val().into_primitive().tensor(),
        });
    }
}

/// Calls `visit` with every float parameter of `module`, adapters' included, in the module's order.
pub fn visit_floats<B: Backend, M: Module<B>>(module: &M, visit: impl FnMut(FloatParam<'_, B>)) {
    module.visit(&mut Visit {
        place: Place::default(),
        visit,
    });
}

/// Replaces the float parameters of a module.
pub trait FloatMapper<B: Backend> {
    /// Returns the replacement of `param`, which lies at `place`.
    fn map<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>>;
}

struct Map<'a, F> {
    place: Place,
    mapper: &'a mut F,
}

impl<B: Backend, F: FloatMapper<B>> ModuleMapper<B> for Map<'_, F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.place.exit(name, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.mapper.map(&self.place, param)
    }
}

/// Replaces every float parameter of `module`, adapters' included, by the result of `mapper`.
pub fn map_floats<B: Backend, M: Module<B>>(module: M, mapper: &mut impl FloatMapper<B>) -> M {
    module.map(&mut Map {
        place: Place::default(),
        mapper,
    })
}
