//! The shared parts of all language models of the workspace: the [`CausalLm`] trait for the
//! training loop and generation, checkpoints, tokenizers and sampling.
//!
//! ```
//! use bone_lm::sampling::{Sampler, SamplingConfig};
//!
//! let config = SamplingConfig {
//!     temperature: 1.0,
//!     top_k: Some(1),
//!     ..SamplingConfig::default()
//! };
//! let mut sampler = Sampler::new(config)?;
//! assert_eq!(sampler.sample(&[0.1, 2.0, -1.0], &[])?, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crates of the models show how to load one and continue a prompt.

mod attention;
pub mod backend;
mod causal_lm;
pub mod checkpoint;
mod gate;
pub mod generate;
pub mod init;
mod loader;
mod loss;
pub mod math;
mod norm;
pub mod sampling;
mod weights;
mod window;

pub use attention::{attention, rotate, softmax, write_positions};
pub use backend::{AdamWStep, Backend, Gate, Moments, QueryTile};
pub use bone::weights::named_weights;
pub use bone_files::wording::joined;
pub use bone_files::{MAX_JSON_BYTES, read_small};
pub use causal_lm::{Block, BlockState, CausalLm, Part, Span, append_rows};
pub use gate::{gated, tanh};
pub use loss::cross_entropy;
pub use norm::{LayerNorm, RmsNorm, layer_norm};
pub use weights::compute_dtype;
pub use window::{Sight, Window};
