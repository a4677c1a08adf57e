//! The commands of the binary `bone`, as functions that other programs can call.

mod answer;
pub mod commands;
pub mod demo;
pub mod error;
mod output;
pub mod session;
mod stop;
pub mod terminal;
mod work;
