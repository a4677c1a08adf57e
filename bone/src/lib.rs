//! Bone and MiSS adapters for [burn].
//!
//! Swap `burn::nn::Linear` for [`BoneLinear`] in your model, [`attach`] adapters to the layers you
//! choose by module path, and train: only the adapters get gradients. Adapters are saved as the
//! folders Hugging Face PEFT reads.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::{AdapterConfig, BlockAxis, BoneLinear, BoneLinearConfig, Selection, Targets, Variant};
//! use burn::backend::{Autodiff, Flex};
//! use burn::module::Module;
//! use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
//! use burn::tensor::{Device, Distribution, Tensor};
//!
//! type B = Autodiff<Flex>;
//!
//! /// Your model. The names of its fields are the paths of its layers.
//! #[derive(Module, Debug)]
//! struct Network<B: bone::Backend> {
//!     up: BoneLinear<B>,
//!     down: BoneLinear<B>,
//! }
//!
//! impl<B: bone::Backend> Network<B> {
//!     fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
//!         self.down.forward(self.up.forward(x).tanh())
//!     }
//! }
//!
//! let device: Device<B> = Default::default();
//! let base: Network<B> = Network {
//!     up: BoneLinearConfig::new(4, 8).init(&device),
//!     down: BoneLinearConfig::new(8, 4).init(&device),
//! };
//! let x = Tensor::<B, 2>::random([16, 4], Distribution::Default, &device);
//! let y = Tensor::<B, 2>::ones([16, 4], &device);
//! // burn draws the weights when they are first used. Only then do clones have the same weights.
//! base.forward(x.clone());
//!
//! // Put an adapter on one layer, and freeze everything else.
//! let targets = Targets::new(Selection::names(["up"]));
//! let config = AdapterConfig::new(Variant::Bone(BlockAxis::Output), 2, targets);
//! let network = bone::freeze_base(bone::attach(base.clone(), &config)?);
//! assert_eq!(bone::count_params(&network).trainable, (8 / 2) * 2 * 2);
//!
//! // Train as usual: one step here.
//! let mut optimizer = AdamWConfig::new().init();
//! let loss = (network.forward(x.clone()) - y).powi_scalar(2).mean();
//! let gradients = GradientsParams::from_grads(loss.backward(), &network);
//! let network = optimizer.step(1e-2, network, gradients);
//!
//! // Save the adapter alone, and put it on the base again.
//! let folder = tempfile::tempdir()?;
//! bone::peft::save(&network, &config, Some("my-network"), folder.path())?;
//! let (loaded, _contents) = bone::peft::load(base, folder.path())?;
//!
//! // Merge it into the weights, which then give the same outputs without an adapter.
//! let merged = bone::merge(loaded)?;
//! let difference = (merged.forward(x.clone()) - network.forward(x)).abs().max();
//! assert!(difference.into_scalar() < 1e-4);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
