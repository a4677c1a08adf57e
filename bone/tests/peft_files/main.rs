//! Adapter folders: what is in them, and every way in which they can be wrong.

mod broken;
mod folder;
mod full;
#[path = "../network/mod.rs"]
mod network;
mod states;
