//! Visits a module by path: its float parameters of any rank, and its linear layers.

mod floats;
mod linears;
mod place;

pub use floats::{FloatMapper, FloatParam, map_floats, read, visit_floats};
pub(crate) use linears::{lend, take_back};
pub use linears::{map_linears, try_map_linears, visit_linears};
pub use place::Place;

/// The container name of burn's `Linear` and of ours. Tools that adapt weights by layer type
/// (burn-store's PyTorch adapter) look for it.
pub(crate) const LINEAR: &str = "Struct:Linear";
/// Name of a linear layer's weight.
pub(crate) const WEIGHT: &str = "weight";
