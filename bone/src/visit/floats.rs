//! Float parameters and their places in a module.

use super::Place;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, Tensor, TensorData, TensorMetadata, TensorPrimitive};

/// A float parameter of any rank.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::BoneLinearConfig;
/// use bone::visit::{FloatParam, visit_floats};
/// use burn::backend::Flex;
/// use burn::tensor::DType;
///
/// let module = vec![BoneLinearConfig::new(3, 2).init::<Flex>(&Default::default())];
/// visit_floats::<Flex, _>(&module, |param: FloatParam<'_, Flex>| {
///     assert_eq!(param.dtype(), DType::F32);
///     assert_eq!(param.data().shape[..], param.shape[..]);
///     // This backend has no autodiff.
///     assert!(!param.is_require_grad());
/// });
/// # }
/// ```
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
    ///
    /// See the [example](crate::visit).
    pub fn path(&self) -> String {
        self.place.path()
    }

    /// Returns its tensor.
    ///
    /// Example: [`FloatParam`].
    pub fn primitive(&self) -> FloatTensor<B> {
        (self.value)()
    }

    /// Reads its values from the device, in the module's layout.
    ///
    /// Example: [`FloatParam`].
    pub fn data(&self) -> TensorData {
        read::<B>(self.primitive())
    }

    /// Returns its precision.
    ///
    /// Example: [`FloatParam`].
    pub fn dtype(&self) -> DType {
        self.primitive().dtype()
    }

    /// Returns whether it trains.
    ///
    /// Example: [`FloatParam`].
    pub fn is_require_grad(&self) -> bool {
        B::float_is_require_grad(&self.primitive())
    }
}

/// Reads the values of a tensor of any rank from the device.
///
/// See the [example](crate::backend).
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
///
/// See the [example](crate::visit).
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
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::BoneLinearConfig;
/// use bone::visit::{FloatMapper, Place, map_floats};
/// use burn::backend::Flex;
/// use burn::module::Param;
/// use burn::tensor::{Tensor, backend::Backend};
///
/// struct Zero;
///
/// impl<B: Backend> FloatMapper<B> for Zero {
///     fn map<const D: usize>(
///         &mut self,
///         _place: &Place,
///         param: Param<Tensor<B, D>>,
///     ) -> Param<Tensor<B, D>> {
///         param.map(|tensor| tensor.zeros_like())
///     }
/// }
///
/// let module = vec![BoneLinearConfig::new(3, 2).init::<Flex>(&Default::default())];
/// let module = map_floats::<Flex, _>(module, &mut Zero);
/// assert_eq!(module[0].weight.val().abs().max().into_scalar(), 0.0);
/// # }
/// ```
pub fn map_floats<B: Backend, M: Module<B>>(module: M, mapper: &mut impl FloatMapper<B>) -> M {
    module.map(&mut Map {
        place: Place::default(),
        mapper,
    })
}
