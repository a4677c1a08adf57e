//! Errors of the binary. Each gives one message with advice and the right exit code, and leaves no files.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod adapters;
#[path = "../command/mod.rs"]
mod command;
mod data;
mod demo;
mod models;
mod refusal;
mod settings;
