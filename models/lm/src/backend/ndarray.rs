//! The reference bodies on burn's ndarray backend.

use super::Backend;
use burn_ndarray::NdArray;

impl Backend for NdArray<f32> {}
