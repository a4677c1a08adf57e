//! Recognizing, loading and saving the architectures. No other module names model crates.

pub mod adapter;
mod error;
mod info;
mod open;
mod recognise;
mod save;
mod tiny;

pub use bone_rwkv6::{is_hugging_face, own_path};
pub(crate) use error::GIVE_A_MODEL;
pub use error::ModelError;
pub use info::{Architecture, ModelInfo, own_name};
pub use open::{ModelBackend, ModelSource, OpenModel, WithModel, open, read_config, with_model};
pub use recognise::{Recognised, recognise};
pub use save::{
    MAX_SHARD_BYTES, NewFolder, check_free, companions, copy_companions, is_partial, write_weights,
};
pub use tiny::{TINY_VOCAB, with_tiny};

#[cfg(test)]
mod tests;
