//! RWKV6 (x060) on burn, from RWKV's unmodified files.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone_lm::generate::token_tensor;
//! use bone_lm::CausalLm;
//! use bone_rwkv6::Rwkv6;
//! use burn::backend::Flex;
//! use std::path::Path;
//!
//! let path = Path::new("../../tests/fixtures/rwkv6-tiny/model.safetensors");
//! let device = Default::default();
//! let model = Rwkv6::<Flex>::from_path(path, &device, None)?;
//! let tokens = token_tensor(&[1, 2, 3], 1, 3, &device);
//! let logits = model.forward(tokens);
//! assert_eq!(logits.dims(), [1, 3, model.vocab_size()]);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod block;
mod channel_mix;
mod config;
mod context;
mod error;
mod head_norm;
mod init;
mod model;
mod names;
mod state;
mod time_mix;
mod token_mix;
mod weights;
mod wkv6;

/// The reference bodies in ordinary tensor operations, for comparison with faster ones.
pub mod reference {
    pub use crate::backend::token_mix::{backward as token_mix_backward, forward as token_mix};
}

pub use backend::{
    Backend, TokenMix, TokenMixGrads, TokenMixWants, Wkv6Backward, Wkv6Forward, Wkv6Inputs,
    Wkv6Kernel, Wkv6Outputs,
};
pub use block::Rwkv6Block;
pub use channel_mix::ChannelMix;
pub use config::Rwkv6Config;
pub use context::Rwkv6Context;
pub use error::Rwkv6Error;
pub use head_norm::HeadNorm;
pub use model::Rwkv6;
pub use names::{Names, is_hugging_face, own_name, own_path};
pub use state::Rwkv6State;
pub use time_mix::TimeMix;
pub use wkv6::{Form, Wkv6, wkv6};
