//! LLaMA2 on burn, from an unmodified Hugging Face folder.

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
