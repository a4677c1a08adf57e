//! The commands of the binary `bone`, as functions that other programs can call too.

pub mod bench;
pub mod commands;
pub mod demo;
pub mod eval;
pub mod terminal;
pub mod threads;
