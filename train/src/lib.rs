//! Training for any language model of the workspace: data, loss, loop, checkpoints, commands.

pub mod agreement;
pub mod bench;
pub mod checkpoint;
pub mod commands;
pub mod config;
pub mod data;
pub mod dataset;
pub mod demo;
pub mod device;
mod disk;
pub mod eval;
pub mod fingerprint;
pub mod gradients;
pub mod lock;
pub mod loss_scale;
pub mod memory;
pub mod models;
pub mod optimizer;
mod plural;
pub mod prompt;
pub mod report;
pub mod schedule;
pub mod signals;
pub mod step;
mod suggest;
pub mod threads;
pub mod trainer;
