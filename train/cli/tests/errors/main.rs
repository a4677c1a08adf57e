//! What goes wrong, tried with the binary: every time one message that says what to do, the right
//! exit code, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod adapters;
#[path = "../command/mod.rs"]
mod command;
mod data;
mod demo;
mod models;
mod refusal;
mod settings;
