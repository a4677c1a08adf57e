//! A training step of a model of given size, timed and taken apart.

mod floor;
mod measure;
mod operations;
mod parts;
mod random;

pub use floor::{Floor, Products};
pub use measure::{Measured, StepBench, Timing};
pub use operations::{OPERATIONS, OperationBench, OperationTime};
pub use parts::{Apart, Parts, Share};
pub use random::{LARGEST, RandomModel, RandomModelError};
