//! What the binary does.

mod adapter;
pub mod devices;
mod error;
pub mod generate;
pub mod merge;
mod precision;
pub mod train;

pub use error::CommandError;
