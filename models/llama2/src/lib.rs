//! LLaMA2 on burn, from an unmodified Hugging Face folder.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone_llama2::Llama;
//! use bone_lm::generate::{GenerateConfig, generate};
//! use burn::backend::Flex;
//! use std::path::Path;
//!
//! let folder = Path::new("../../tests/fixtures/llama-tiny");
//! let device = Default::default();
//! let model = Llama::<Flex>::from_folder(folder, &device, None)?;
//!
//! // Greedy sampling: the four most likely next tokens.
//! let config = GenerateConfig {
//!     sampling: Default::default(),
//!     max_new_tokens: 4,
//!     stop: Vec::new(),
//! };
//! let prompts = [vec![1, 20, 30, 40]];
//! let new = generate(&model, &prompts, &config, &device, |_prompt, _token| ())?;
//! assert_eq!(new[0].len(), 4);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attention;
mod block;
mod cache;
mod config;
mod error;
mod model;
mod rotary;
mod weights;

pub use attention::Attention;
pub use block::{LlamaBlock, Mlp};
pub use cache::KeyValueCache;
pub use config::LlamaConfig;
pub use error::LlamaError;
pub use model::{Llama, LlamaTrunk};
pub use rotary::LlamaContext;
