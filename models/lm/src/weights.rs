//! The precision of weights and of computations.

use burn::tensor::DType;

/// Returns the precision of a model's computation for weights held in `storage`: f64 for f64
/// weights, otherwise f32.
pub fn compute_dtype(storage: DType) -> DType {
    if storage == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}
