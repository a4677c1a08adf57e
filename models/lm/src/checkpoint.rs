//! A model's weights: their files ([`bone_files`]), and [`Loader`], which turns them into a model's
//! parameters.

pub use crate::loader::{LoadError, Loader, Misshapen, Unsupported};
pub use bone_files::*;
