//! The memory a run will take, what the machine has, and what the process holds.

mod allocator;
mod estimate;
mod limit;
mod process;
mod shape;

pub use allocator::keep_freed_memory;
pub use bone_data::human;
pub use estimate::Estimate;
pub use limit::{MemoryError, MemoryLimit, available_memory, check_weights};
pub use process::{peak_resident_bytes, resident_bytes};
pub use shape::{ActivationShape, ModelShape, RunShape};
