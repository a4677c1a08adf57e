//! The adapters, one file each. To add one, implement the traits of `method.rs` in a file here and
//! add a row to the table below.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::{AdapterConfig, BoneLinear, BoneLinearConfig, Selection, Targets, Variant};
//! use burn::backend::{Autodiff, Flex};
//! use burn::tensor::Tensor;
//!
//! let device = Default::default();
//! let layer: BoneLinear<Autodiff<Flex>> = BoneLinearConfig::new(6, 4).init(&device);
//! let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
//! let layer = layer.attach(&config, "layer")?;
//!
//! let adapter = layer.adapter().expect("it was attached");
//! assert_eq!((adapter.variant(), adapter.rank()), (Variant::Miss, 2));
//! assert_eq!(adapter.tensors()[0].shape[..], [2, 4]);
//! let loss = layer.forward(Tensor::<Autodiff<Flex>, 2>::ones([3, 6], &device)).sum();
//! assert!(adapter.gradients(&loss.backward())[0].is_some());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// burn's derive on `Adapter` also generates enums.
#![allow(
    clippy::large_enum_variant,
    reason = "a few hundred bytes beside a layer's weight"
)]

mod bone;
mod bone_input;
mod inverse;
mod lora;
mod method;
mod miss;
mod miss_mini;

pub use bone::{Bone, BoneRecord};
pub use bone_input::{BoneInput, BoneInputRecord};
pub(crate) use lora::{CONTAINER as LORA, INITIAL, LORA_A, LORA_B, decompose};
pub use lora::{Factors, FactorsRecord, Lora, LoraRecord};
pub(crate) use method::{BLOCK, Method};
pub use miss::{Miss, MissRecord};
pub use miss_mini::{MissMini, MissMiniRecord};

use crate::visit::{FloatParam, read, visit_floats};
use crate::{AdapterConfig, Backend, BlockAxis, Variant};
use burn::module::{Module, Param, ParamId};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};
use method::{Build, Layer, OnLayer};
use std::vec::IntoIter;

/// Generates an adapter from one row: its name, its variant, and the method of that variant.
macro_rules! adapters {
    ($($(#[doc = $doc:literal])* $name:ident: $variant:pat => $method:expr,)*) => {
        /// An adapter on one linear layer.
        #[derive(Module, Debug)]
        pub enum Adapter<B: Backend> {
            $($(#[doc = $doc])* $name($name<B>),)*
        }

        impl Variant {
            pub(crate) fn method(&self) -> Box<dyn Method> {
                match *self {
                    $($variant => Box::new($method),)*
                }
            }
        }

        impl<B: Backend> Adapter<B> {
            fn of_parts(variant: Variant, parts: Parts<B>) -> Self {
                match variant {
                    $($variant => Self::$name($name::of_parts($method, parts)),)*
                }
            }

            /// Loads `record` into `adapter` if the variants agree. Otherwise makes an adapter from
            /// the record alone.
            pub(crate) fn load_or_new(adapter: Option<Self>, record: AdapterRecord<B>) -> Self {
                match (adapter, record) {
                    $((Some(Self::$name(adapter)), AdapterRecord::$name(record)) => {
                        Self::$name(adapter.load_record(record))
                    })*
                    $((_, AdapterRecord::$name(record)) => {
                        Self::$name($name::of_record(record))
                    })*
                }
            }

            pub(crate) fn on_layer(&self) -> &dyn OnLayer<B> {
                match self {
                    $(Self::$name(adapter) => adapter,)*
                }
            }

            pub(crate) fn on_layer_mut(&mut self) -> &mut dyn OnLayer<B> {
                match self {
                    $(Self::$name(adapter) => adapter,)*
                }
            }
        }
    };
}

adapters! {
    /// Bone on the output axis.
    Bone: Variant::Bone(BlockAxis::Output) => bone::Method,
    /// Bone on the input axis.
    BoneInput: Variant::Bone(BlockAxis::Input) => bone_input::Method,
    /// Miss.
    Miss: Variant::Miss => miss::Method,
    /// Miss-mini.
    MissMini: Variant::MissMini { width } => miss_mini::Method { width },
    /// LoRA, PiSSA, OLoRA.
    Lora: Variant::Lora(settings) => settings,
}

/// Returns the precision of adapters: f64 on an f64 base, otherwise f32.
pub(crate) fn adapter_dtype(weight: DType) -> DType {
    if weight == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}

/// The tensors that make up an adapter.
pub(crate) struct Parts<B: Backend> {
    tensors: IntoIter<TensorData>,
    device: B::Device,
    dtype: DType,
    dropout: f64,
    salt: u64,
}

impl<B: Backend> Parts<B> {
    /// Returns the next tensor as trainable.
    fn trained<const D: usize>(&mut self) -> Param<Tensor<B, D>> {
        let Some(data) = self.tensors.next() else {
            unreachable!("an adapter has as many tensors as its method names");
        };
        let tensor = Tensor::<B, D>::from_data(data, (&self.device, self.dtype));
        Param::initialized(ParamId::new(), tensor.require_grad())
    }

    /// Returns the next tensor as frozen.
    fn frozen<const D: usize>(&mut self) -> Param<Tensor<B, D>> {
        self.trained().set_require_grad(false)
    }
}

impl<B: Backend> Adapter<B> {
    /// Makes an adapter on a layer of `weight` `[in, out]`. It holds `tensors`, whose shapes are
    /// [`Variant::shapes`] for the layer; without them it is new and changes nothing.
    ///
    /// # Errors
    ///
    /// The factors cannot be computed from the weight.
    pub(crate) fn new(
        config: &AdapterConfig,
        path: &str,
        weight: &Param<Tensor<B, 2>>,
        tensors: Option<Vec<TensorData>>,
    ) -> Result<Self, String> {
        let method = config.variant.method();
        let [d_input, d_output] = weight.lazy_shape().dims();
        let start = || {
            method.start(&Layer {
                rank: config.rank,
                d_input,
                d_output,
                weight: &|| weight.val().into_data().iter::<f32>().collect(),
                seed: config.seed ^ crate::dropout::layer_salt(path),
            })
        };
        let tensors = match (tensors, method.is_on_residual()) {
            (Some(tensors), false) => tensors,
            (Some(tensors), true) => [tensors, start()?].concat(),
            (None, false) => start()?,
            (None, true) => {
                let start = start()?;
                [start.clone(), start].concat()
            }
        };
        let (device, dtype) = (weight.lazy_device(), adapter_dtype(weight.dtype()));
        Ok(Self::from_tensors(config, path, tensors, device, dtype))
    }

    /// Makes an adapter that holds `tensors`. For one on a residual, the initial factors follow the
    /// trainable tensors.
    pub(crate) fn from_tensors(
        config: &AdapterConfig,
        path: &str,
        tensors: Vec<TensorData>,
        device: B::Device,
        dtype: DType,
    ) -> Self {
        let parts = Parts {
            tensors: tensors.into_iter(),
            device,
            dtype,
            dropout: config.dropout,
            salt: crate::dropout::layer_salt(path),
        };
        Self::of_parts(config.variant, parts)
    }

    /// Returns the variant of this adapter.
    ///
    /// See the [example](crate::adapter).
    pub fn variant(&self) -> Variant {
        self.on_layer().variant()
    }

    /// Returns the rank `r`.
    ///
    /// See the [example](crate::adapter).
    pub fn rank(&self) -> usize {
        self.on_layer().rank()
    }

    /// Returns the precision of the adapter.
    ///
    /// See the [example](crate::adapter).
    pub fn dtype(&self) -> DType {
        self.on_layer().dtype()
    }

    /// Returns the dropout probability; 0 for variants without dropout.
    ///
    /// See the [example](crate::adapter).
    pub fn dropout(&self) -> f64 {
        self.on_layer().dropout()
    }

    /// Calls `visit` with every trainable tensor, in the order of [`Variant::shapes`].
    fn visit_trained(&self, mut visit: impl FnMut(FloatParam<'_, B>)) {
        visit_floats(self, |param: FloatParam<'_, B>| {
            if !param.place.is_start() {
                visit(param);
            }
        });
    }

    /// Returns the values of the trainable tensors, in the order of [`Variant::shapes`].
    ///
    /// See the [example](crate::adapter).
    pub fn tensors(&self) -> Vec<TensorData> {
        let mut tensors = Vec::new();
        self.visit_trained(|param| tensors.push(param.data()));
        tensors
    }

    /// Returns the values of the tensors that files hold, those of the variant in
    /// [`AdapterConfig::saved`].
    ///
    /// See the [example](crate::adapter).
    pub fn saved_tensors(&self) -> Vec<TensorData> {
        let saved = self.on_layer().saved_tensors();
        saved.unwrap_or_else(|| self.tensors())
    }

    /// Returns the gradients of the trainable tensors, in the order of [`tensors`](Self::tensors);
    /// `None` for a tensor without a gradient.
    ///
    /// See the [example](crate::adapter).
    pub fn gradients(&self, gradients: &B::Gradients) -> Vec<Option<TensorData>>
    where
        B: AutodiffBackend,
    {
        let mut found = Vec::new();
        self.visit_trained(|param| {
            let gradient = B::grad(&param.primitive(), gradients);
            found.push(gradient.map(read::<B::InnerBackend>));
        });
        found
    }
}

/// Computes `x·W` in the precision of `x`; the weight may have any precision.
pub(crate) fn base_product<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
    let x = x.into_primitive().tensor();
    let output = B::product(x, weight.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(output))
}
