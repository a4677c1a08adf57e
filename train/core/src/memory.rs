//! Memory: the estimate for a run, the limit of the machine, and the use of the process.

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
