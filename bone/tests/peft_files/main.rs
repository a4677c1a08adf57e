//! Adapter folders: their contents, and every fault they can have.

mod broken;
mod folder;
mod full;
#[path = "../network/mod.rs"]
mod network;
mod states;
