//! The adapters, one file each. A new one is a file here and an arm in [`Adapter`].

mod bone;
mod bone_input;
mod inverse;
mod lora;
mod miss;
mod miss_mini;

pub use bone::{Bone, BoneRecord};
pub use bone_input::{BoneInput, BoneInputRecord};
pub(crate) use lora::{CONTAINER as LORA, INITIAL, decompose};
pub use lora::{Factors, FactorsRecord, Lora, LoraRecord};
pub use miss::{Miss, MissRecord};
pub use miss_mini::{MissMini, MissMiniRecord};

use crate::{AdapterConfig, Backend, BlockAxis, Variant};
use burn::module::{Module, Param, ParamId};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};

/// An adapter on one linear layer.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a few hundred bytes beside a layer's weight"
)]
pub enum Adapter<B: Backend> {
    /// Bone on the output axis.
    Bone(Bone<B>),
    /// Bone on the input axis.
    BoneInput(BoneInput<B>),
    /// Miss.
    Miss(Miss<B>),
    /// Miss-mini.
    MissMini(MissMini<B>),
    /// LoRA, PiSSA, OLoRA.
    Lora(Lora<B>),
}

/// The precision adapters live in: f32 whatever the base holds, f64 on an f64 base.
pub(crate) fn adapter_dtype(weight: DType) -> DType {
    if weight == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}

fn trainable<B: Backend, const D: usize>(
    data: TensorData,
    device: &B::Device,
    dtype: DType,
) -> Param<Tensor<B, D>> {
    let tensor = Tensor::<B, D>::from_data(data, (device, dtype));
    Param::initialized(ParamId::new(), tensor.require_grad())
}

/// A frozen copy of an adapter's tensor.
fn constant<B: Backend, const D: usize>(
    data: TensorData,
    device: &B::Device,
    dtype: DType,
) -> Param<Tensor<B, D>> {
    trainable(data, device, dtype).set_require_grad(false)
}

/// Takes the tensors of an adapter out of a list as long as its variant's.
fn exactly<const N: usize>(tensors: Vec<TensorData>) -> [TensorData; N] {
    match tensors.try_into() {
        Ok(tensors) => tensors,
        Err(tensors) => unreachable!("{N} tensors make this adapter, not {}", Vec::len(&tensors)),
    }
}

impl<B: Backend> Adapter<B> {
    /// An adapter holding `tensors`, whose shapes are [`Variant::shapes`] for the layer. One that
    /// stands on a residual also needs that one's factors, `initial`.
    pub(crate) fn from_tensors(
        config: &AdapterConfig,
        path: &str,
        tensors: Vec<TensorData>,
        initial: Option<[TensorData; 2]>,
        device: &B::Device,
        dtype: DType,
    ) -> Self {
        let dropout = config.dropout;
        let salt = crate::dropout::layer_salt(path);
        match config.variant {
            Variant::Bone(BlockAxis::Output) => {
                let [block] = exactly(tensors).map(|data| trainable(data, device, dtype));
                Self::Bone(Bone { block })
            }
            Variant::Bone(BlockAxis::Input) => {
                let [block] = exactly(tensors).map(|data| trainable(data, device, dtype));
                Self::BoneInput(BoneInput { block })
            }
            Variant::Miss => {
                let [block] = exactly(tensors).map(|data| trainable(data, device, dtype));
                Self::Miss(Miss {
                    block,
                    dropout,
                    salt,
                })
            }
            Variant::MissMini { .. } => {
                let [block] = exactly(tensors).map(|data| trainable(data, device, dtype));
                Self::MissMini(MissMini {
                    block,
                    dropout,
                    salt,
                })
            }
            Variant::Lora(settings) => {
                let [lora_a, lora_b] = exactly(tensors).map(|data| trainable(data, device, dtype));
                Self::Lora(Lora {
                    factors: Factors { lora_a, lora_b },
                    initial: initial.map(|factors| {
                        let [lora_a, lora_b] = factors.map(|data| constant(data, device, dtype));
                        Factors { lora_a, lora_b }
                    }),
                    settings,
                    dropout,
                    salt,
                })
            }
        }
    }

    /// An adapter that changes nothing yet, on a layer of `weight` `[in, out]`.
    ///
    /// # Errors
    ///
    /// The weight has no factors to start from.
    pub(crate) fn start(
        config: &AdapterConfig,
        path: &str,
        weight: &Param<Tensor<B, 2>>,
        dtype: DType,
    ) -> Result<Self, String> {
        let device = weight.lazy_device();
        let [d_input, d_output] = weight.lazy_shape().dims();
        let (tensors, initial) = match config.variant {
            Variant::Lora(settings) => {
                let factors = Self::factors(config, path, weight)?;
                let initial = settings.has_residual().then(|| factors.clone());
                (factors.to_vec(), initial)
            }
            _ => {
                let shapes = config.variant.shapes(config.rank, d_input, d_output);
                let zeros = shapes.into_iter().map(|(_, shape)| {
                    let zeros = vec![0f32; shape.iter().product()];
                    TensorData::new(zeros, shape)
                });
                (zeros.collect(), None)
            }
        };
        Ok(Self::from_tensors(
            config, path, tensors, initial, &device, dtype,
        ))
    }

    /// What LoRA's factors start as on `weight` `[in, out]`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(crate) fn factors(
        config: &AdapterConfig,
        path: &str,
        weight: &Param<Tensor<B, 2>>,
    ) -> Result<[TensorData; 2], String> {
        let Variant::Lora(settings) = config.variant else {
            unreachable!("only LoRA has factors");
        };
        let [d_input, d_output] = weight.lazy_shape().dims();
        let values: Vec<f32> = match settings.has_residual() {
            true => weight.val().into_data().iter::<f32>().collect(),
            false => Vec::new(),
        };
        let weight = lora::start::Weight {
            values: &values,
            d_input,
            d_output,
        };
        let seed = config.seed ^ crate::dropout::layer_salt(path);
        lora::start::factors(&settings, config.rank, weight, seed)
    }

    /// Variant of this adapter.
    pub fn variant(&self) -> Variant {
        match self {
            Self::Bone(_) => Variant::Bone(BlockAxis::Output),
            Self::BoneInput(_) => Variant::Bone(BlockAxis::Input),
            Self::Miss(_) => Variant::Miss,
            Self::MissMini(mini) => Variant::MissMini {
                width: mini.block.dims()[1],
            },
            Self::Lora(lora) => Variant::Lora(lora.settings),
        }
    }

    /// Rank `r`.
    pub fn rank(&self) -> usize {
        match self {
            Self::Bone(bone) => bone.block.dims()[2],
            Self::BoneInput(bone) => bone.block.dims()[2],
            Self::Miss(miss) => miss.block.dims()[0],
            Self::MissMini(mini) => mini.block.dims()[0],
            Self::Lora(lora) => lora.rank(),
        }
    }

    /// Dropout probability; 0 for the variants that have none.
    pub fn dropout(&self) -> f64 {
        match self {
            Self::Lora(lora) => lora.dropout,
            Self::Miss(miss) => miss.dropout,
            Self::MissMini(mini) => mini.dropout,
            Self::Bone(_) | Self::BoneInput(_) => 0.0,
        }
    }

    /// Sets the dropout probability, of a variant that has one.
    pub(crate) fn with_dropout(mut self, dropout: f64) -> Self {
        match &mut self {
            Self::Miss(miss) => miss.dropout = dropout,
            Self::MissMini(mini) => mini.dropout = dropout,
            Self::Lora(lora) => lora.dropout = dropout,
            Self::Bone(_) | Self::BoneInput(_) => {}
        }
        self
    }

    /// The values of the tensors that train, as [`Variant::shapes`] lists them.
    pub fn tensors(&self) -> Vec<TensorData> {
        match self {
            Self::Bone(bone) => vec![bone.block.val().to_data()],
            Self::BoneInput(bone) => vec![bone.block.val().to_data()],
            Self::Miss(miss) => vec![miss.block.val().to_data()],
            Self::MissMini(mini) => vec![mini.block.val().to_data()],
            Self::Lora(lora) => {
                let factors = &lora.factors;
                vec![
                    factors.lora_a.val().to_data(),
                    factors.lora_b.val().to_data(),
                ]
            }
        }
    }

    /// The values of the tensors that files hold: those of the variant that
    /// [`AdapterConfig::saved`] names.
    pub fn saved_tensors(&self) -> Vec<TensorData> {
        match self {
            Self::Lora(lora) => lora.plain().map(Tensor::into_data).into(),
            other => other.tensors(),
        }
    }

    /// The gradients of the tensors that train, as [`tensors`](Self::tensors) lists them; `None`
    /// for one that got none.
    pub fn gradients(&self, gradients: &B::Gradients) -> Vec<Option<TensorData>>
    where
        B: AutodiffBackend,
    {
        fn of<B: AutodiffBackend, const D: usize>(
            param: &Param<Tensor<B, D>>,
            gradients: &B::Gradients,
        ) -> Option<TensorData> {
            param.grad(gradients).map(Tensor::into_data)
        }
        match self {
            Self::Bone(bone) => vec![of(&bone.block, gradients)],
            Self::BoneInput(bone) => vec![of(&bone.block, gradients)],
            Self::Miss(miss) => vec![of(&miss.block, gradients)],
            Self::MissMini(mini) => vec![of(&mini.block, gradients)],
            Self::Lora(lora) => vec![
                of(&lora.factors.lora_a, gradients),
                of(&lora.factors.lora_b, gradients),
            ],
        }
    }

    /// Precision of the adapter.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Bone(bone) => bone.block.dtype(),
            Self::BoneInput(bone) => bone.block.dtype(),
            Self::Miss(miss) => miss.block.dtype(),
            Self::MissMini(mini) => mini.block.dtype(),
            Self::Lora(lora) => lora.factors.lora_a.dtype(),
        }
    }

    /// `x·W'ᵀ`. `x` is `[n, in]` in the adapter's precision, of `batch` rows; `weight` is
    /// `[in, out]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        weight: Tensor<B, 2>,
        batch: usize,
    ) -> Tensor<B, 2> {
        match self {
            Self::Bone(bone) => bone.forward(x, weight),
            Self::BoneInput(bone) => bone.forward(x, weight),
            Self::Miss(miss) => miss.forward(x, weight, batch),
            Self::MissMini(mini) => mini.forward(x, weight, batch),
            Self::Lora(lora) => lora.forward(x, weight, batch),
        }
    }

    /// `W'` for a `weight` `[in, out]` in the adapter's precision.
    pub(crate) fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Bone(bone) => bone.merge(weight),
            Self::BoneInput(bone) => bone.merge(weight),
            Self::Miss(miss) => weight.clone() + miss.delta(weight.dims()[0]),
            Self::MissMini(mini) => weight.clone() + mini.delta(weight.dims()),
            Self::Lora(lora) => weight + lora.delta(),
        }
    }

    /// Loads `record` into `adapter` where the variants agree, else makes an adapter of it alone.
    pub(crate) fn load_or_new(adapter: Option<Self>, record: AdapterRecord<B>) -> Self {
        match (adapter, record) {
            (Some(Self::Bone(bone)), AdapterRecord::Bone(record)) => {
                Self::Bone(bone.load_record(record))
            }
            (Some(Self::BoneInput(bone)), AdapterRecord::BoneInput(record)) => {
                Self::BoneInput(bone.load_record(record))
            }
            (Some(Self::Miss(miss)), AdapterRecord::Miss(record)) => {
                Self::Miss(miss.load_record(record))
            }
            (Some(Self::MissMini(mini)), AdapterRecord::MissMini(record)) => {
                Self::MissMini(mini.load_record(record))
            }
            (Some(Self::Lora(lora)), AdapterRecord::Lora(record)) => {
                Self::Lora(lora.load_record(record))
            }
            (_, AdapterRecord::Lora(record)) => Self::Lora(Lora::of_record(record)),
            (_, AdapterRecord::Bone(record)) => Self::Bone(Bone {
                block: record.block,
            }),
            (_, AdapterRecord::BoneInput(record)) => Self::BoneInput(BoneInput {
                block: record.block,
            }),
            (_, AdapterRecord::Miss(record)) => Self::Miss(Miss {
                block: record.block,
                dropout: 0.0,
                salt: 0,
            }),
            (_, AdapterRecord::MissMini(record)) => Self::MissMini(MissMini {
                block: record.block,
                dropout: 0.0,
                salt: 0,
            }),
        }
    }

    /// `W` for a merged `weight` `[in, out]`.
    pub(crate) fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        match self {
            Self::Bone(bone) => bone.unmerge(weight),
            Self::BoneInput(bone) => bone.unmerge(weight),
            Self::Miss(miss) => Ok(weight.clone() - miss.delta(weight.dims()[0])),
            Self::MissMini(mini) => Ok(weight.clone() - mini.delta(weight.dims())),
            Self::Lora(lora) => Ok(weight - lora.delta()),
        }
    }
}

/// `x·W` with a weight held in any precision, computed in `x`'s.
pub(crate) fn base_product<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
    let x = x.into_primitive().tensor();
    let output = B::product(x, weight.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(output))
}
