//! The adapters, one file each. A new one is a file here and an arm in [`Adapter`].

mod bone;
mod bone_input;
mod inverse;
mod miss;
mod miss_mini;

pub use bone::{Bone, BoneRecord};
pub use bone_input::{BoneInput, BoneInputRecord};
pub use miss::{Miss, MissRecord};
pub use miss_mini::{MissMini, MissMiniRecord};

use crate::{AdapterConfig, Backend, BlockAxis, Variant};
use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};

/// An adapter on one linear layer.
#[derive(Module, Debug)]
pub enum Adapter<B: Backend> {
    /// Bone on the output axis.
    Bone(Bone<B>),
    /// Bone on the input axis.
    BoneInput(BoneInput<B>),
    /// Miss.
    Miss(Miss<B>),
    /// Miss-mini.
    MissMini(MissMini<B>),
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

impl<B: Backend> Adapter<B> {
    /// An adapter holding `data`, whose shape is `config.variant`'s for the layer
    /// ([`Variant::shape`]).
    pub(crate) fn from_data(
        config: &AdapterConfig,
        path: &str,
        data: TensorData,
        device: &B::Device,
        dtype: DType,
    ) -> Self {
        let dropout = config.dropout;
        let salt = crate::dropout::layer_salt(path);
        match config.variant {
            Variant::Bone(BlockAxis::Output) => Self::Bone(Bone {
                block: trainable(data, device, dtype),
            }),
            Variant::Bone(BlockAxis::Input) => Self::BoneInput(BoneInput {
                block: trainable(data, device, dtype),
            }),
            Variant::Miss => Self::Miss(Miss {
                block: trainable(data, device, dtype),
                dropout,
                salt,
            }),
            Variant::MissMini { .. } => Self::MissMini(MissMini {
                block: trainable(data, device, dtype),
                dropout,
                salt,
            }),
        }
    }

    /// An adapter that changes nothing yet.
    pub(crate) fn zeros(
        config: &AdapterConfig,
        path: &str,
        [d_input, d_output]: [usize; 2],
        device: &B::Device,
        dtype: DType,
    ) -> Self {
        let shape = config.variant.shape(config.rank, d_input, d_output);
        let zeros = vec![0f32; shape.iter().product()];
        Self::from_data(config, path, TensorData::new(zeros, shape), device, dtype)
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
        }
    }

    /// Rank `r`.
    pub fn rank(&self) -> usize {
        match self {
            Self::Bone(bone) => bone.block.dims()[2],
            Self::BoneInput(bone) => bone.block.dims()[2],
            Self::Miss(miss) => miss.block.dims()[0],
            Self::MissMini(mini) => mini.block.dims()[0],
        }
    }

    /// Dropout probability; 0 for the variants that have none.
    pub fn dropout(&self) -> f64 {
        match self {
            Self::Miss(miss) => miss.dropout,
            Self::MissMini(mini) => mini.dropout,
            Self::Bone(_) | Self::BoneInput(_) => 0.0,
        }
    }

    /// The adapter tensor's values, in the shape files have.
    pub fn to_data(&self) -> TensorData {
        match self {
            Self::Bone(bone) => bone.block.val().to_data(),
            Self::BoneInput(bone) => bone.block.val().to_data(),
            Self::Miss(miss) => miss.block.val().to_data(),
            Self::MissMini(mini) => mini.block.val().to_data(),
        }
    }

    /// Precision of the adapter.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Bone(bone) => bone.block.dtype(),
            Self::BoneInput(bone) => bone.block.dtype(),
            Self::Miss(miss) => miss.block.dtype(),
            Self::MissMini(mini) => mini.block.dtype(),
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
        }
    }

    /// `W'` for a `weight` `[in, out]` in the adapter's precision.
    pub(crate) fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Bone(bone) => bone.merge(weight),
            Self::BoneInput(bone) => bone.merge(weight),
            Self::Miss(miss) => weight.clone() + miss.delta(weight.dims()[0]),
            Self::MissMini(mini) => weight.clone() + mini.delta(weight.dims()),
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
        }
    }
}

/// `x·W` with a weight held in any precision, computed in `x`'s.
pub(crate) fn base_product<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
    let x = x.into_primitive().tensor();
    let output = B::product(x, weight.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(output))
}
