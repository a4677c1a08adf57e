//! Training for any language model of the workspace: loss, loop, checkpoints, devices.

pub mod config;
pub mod device;
mod disk;
pub mod layout;
pub mod loss_scale;
pub mod memory;
pub mod models;
pub mod optimizer;
pub mod report;
pub mod run;
pub mod schedule;
pub mod step;
pub mod trainer;
