//! Bone and MiSS adapters for [burn].
//!
//! Swap `burn::nn::Linear` for [`BoneLinear`] in your model, [`attach`] adapters to the layers you
//! choose by module path, and train: only the adapters get gradients. Adapters are saved as the
//! folders Hugging Face PEFT reads.
//!
//! | variant | adapter | effective weight |
//! |---|---|---|
//! | [`Variant::Bone`], [`BlockAxis::Output`] | `B [out/r, r, r]` | `W'[o,k] = W[o,k] + W[o,k]·B[o] + B[o]` |
//! | [`Variant::Bone`], [`BlockAxis::Input`] | `B [in/r, r, r]` | `W'[o,k] = W[o,k] + W[o,k]·B[k] + B[k]` |
//! | [`Variant::Miss`] | `D [r, out]` | `W'[o,i] = W[o,i] + D[i mod r, o]` |
//! | [`Variant::MissMini`] | `M [r, m]` | miss with `D[j,o] = M[j, o mod m]` |
//!
//! `W` is the frozen weight as checkpoints store it, `[out, in]`; `W[o,k]` is its `r×r` block. A
//! new adapter changes nothing, so the first forward equals the base model's. "Bone" is the
//! block-affine method of the paper *Bone: Block Affine Transformation as Parameter Efficient
//! Fine-tuning Methods for Large Language Models*; later versions of that paper and PEFT use Bone
//! or MiSS for the method that is `miss` here.

pub mod adapter;
mod attach;
pub mod backend;
mod config;
#[cfg(feature = "cubecl")]
pub mod cube;
pub mod dropout;
mod error;
#[cfg(feature = "cubecl")]
pub mod fusion;
pub mod graph;
pub mod kernels;
mod lifecycle;
mod linear;
#[cfg(feature = "flex")]
pub mod matrix;
pub mod peft;
pub mod rwkv_peft;
pub mod saved;
mod target;
pub mod visit;
pub mod weights;

pub use adapter::Adapter;
pub use attach::{attach, detach};
pub use backend::Backend;
pub use config::{AdapterConfig, BlockAxis, LoraConfig, LoraStart, SvdMethod, Variant};
pub use error::{AttachError, FileError, LayerError, MergeError, Misfit, ValueError};
pub use lifecycle::{
    ParamCount, count_params, disable, enable, freeze_base, lora_b_ids, merge, unfreeze_all,
    unmerge, with_dropout,
};
pub use linear::{BoneLinear, BoneLinearConfig, BoneLinearRecord, State};
pub use target::{Selection, Targets, without_numbers};
pub use visit::{map_linears, try_map_linears, visit_linears};
pub use weights::train_also;

#[cfg(test)]
mod testing;
