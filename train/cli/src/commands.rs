//! The commands of the binary.

pub mod bench;
pub mod chat;
pub mod convert;
pub mod data;
pub mod devices;
pub mod eval;
pub mod generate;
pub mod inspect;
pub mod merge;
pub mod train;
