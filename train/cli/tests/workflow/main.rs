//! The main workflow with the binary: train, check the curves, merge, generate.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod bench;
mod chat;
#[path = "../command/mod.rs"]
mod command;
mod continued;
mod conversions;
mod data_check;
mod data_files;
mod demo;
mod equivalence;
mod eval;
mod fork;
mod generation;
#[cfg(unix)]
mod going;
mod kept;
mod killed;
mod methods;
mod models;
mod names;
mod packing;
mod parts;
mod precision;
mod preserved;
mod resume;
mod runs;
mod rwkv6;
mod settings;
mod signals;
mod trouble;
