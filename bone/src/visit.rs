//! Visits a module by path: its float parameters of any rank, and its linear layers.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::BoneLinearConfig;
//! use bone::visit::{FloatParam, map_linears, visit_floats, visit_linears};
//! use burn::backend::Flex;
//!
//! let layer = |d_output| BoneLinearConfig::new(8, d_output).init::<Flex>(&Default::default());
//! let module = vec![layer(8), layer(4)];
//! let mut names = Vec::new();
//! visit_floats::<Flex, _>(&module, |param: FloatParam<'_, Flex>| names.push(param.path()));
//! assert_eq!(names, ["0.weight", "0.bias", "1.weight", "1.bias"]);
//! let mut widths = Vec::new();
//! visit_linears::<Flex, _>(&module, |path, layer| widths.push((path.to_string(), layer.dims())));
//! assert_eq!(widths[1], ("1".to_string(), [8, 4]));
//! let module = map_linears::<Flex, _>(module, |_path, layer| layer.detach());
//! assert!(module[0].adapter().is_none());
//! # }
//! ```

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
