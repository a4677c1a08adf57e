//! A model's weights: their files ([`bone_files`]), and [`Loader`], which makes the parameters of a
//! model of them.

pub use crate::loader::{LoadError, Loader, Misshapen, Unsupported};
pub use bone_files::*;
