//! Training for any language model of the workspace: data, loss, loop, checkpoints, commands.

pub mod data;
pub mod gradients;
pub mod step;
