//! LLaMA2 on burn, from a Hugging Face folder as it is.

mod attention;
mod block;
mod config;
mod error;
mod model;
mod rotary;
mod weights;

pub use attention::{Attention, KeyValueCache};
pub use block::{LlamaBlock, Mlp};
pub use config::LlamaConfig;
pub use error::LlamaError;
pub use model::{Llama, LlamaTrunk};
pub use rotary::LlamaContext;
