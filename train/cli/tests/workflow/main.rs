//! The main workflow with the binary: train, check the curves, merge, generate.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

#[cfg(unix)]
mod background;
mod bench;
mod chat;
#[path = "../command/mod.rs"]
mod command;
mod conversions;
mod data_check;
mod data_files;
mod demo;
mod equivalence;
mod eval;
mod failures;
mod fork;
mod from_adapter;
mod generation;
mod killed_saves;
mod methods;
mod models;
mod packing;
mod precision;
mod protected_files;
mod resume;
mod runs;
mod rwkv6;
mod saved_results;
mod settings;
mod signals;
mod tensor_names;
mod train_parts;
