//! The precision of weights and of what is computed with them.

use burn::tensor::DType;

/// The precision a model computes in when its weights are held in `storage`: f32, or f64 for
/// weights in f64.
pub fn compute_dtype(storage: DType) -> DType {
    if storage == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}
