//! What every language model of the workspace shares.

pub mod checkpoint;
mod folder;
pub mod sampling;
pub mod tokenizer;
