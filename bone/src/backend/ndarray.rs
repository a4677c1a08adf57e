//! The reference on another processor backend.

use super::Backend;
use burn_ndarray::NdArray;

impl Backend for NdArray<f32> {}
