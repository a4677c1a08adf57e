//! The operations of this crate, as an extension of burn's `Backend` trait.
//!
//! The trait's bodies are made of ordinary tensor operations: the reference that every faster
//! implementation is held against. [`Autodiff`](burn::backend::Autodiff) has a hand-written
//! backward, so a plain backend needs an empty `impl` and nothing else.

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;

mod autodiff;
mod bone_output;
#[cfg(feature = "cubecl")]
mod cube;
#[cfg(feature = "flex")]
mod flex;

/// Gradients of [`Backend::bone_output_product`], each present when it was asked for.
#[derive(Debug, Clone)]
pub struct BoneOutputGrads<T> {
    /// Gradient to the input, `[n, in]`.
    pub input: Option<T>,
    /// Gradient to the weight, `[in, out]`.
    pub weight: Option<T>,
    /// Gradient to the adapter, `[out/r, r, r]`.
    pub block: Option<T>,
}

/// Which gradients a backward has to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoneOutputWants {
    /// The input's.
    pub input: bool,
    /// The weight's.
    pub weight: bool,
    /// The adapter's.
    pub block: bool,
}

/// A burn backend with the operations of the Bone method.
pub trait Backend: BurnBackend {
    /// `y = x·W'ᵀ` with `W'[o,k] = W[o,k] + W[o,k]·B[o] + B[o]` (bone on the output axis).
    ///
    /// # Shapes
    ///
    /// - `input`: `[n, in]`
    /// - `weight`: `[in, out]`, burn's layout: the transpose of `W`
    /// - `block`: `[out/r, r, r]`
    /// - output: `[n, out]`
    ///
    /// `W'` lives only inside the call.
    fn bone_output_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        bone_output::product::<Self>(input, weight, block)
    }

    /// The backward of [`bone_output_product`](Backend::bone_output_product) for an output
    /// gradient `grad` `[n, out]`. It forms `W'` anew, a few block-rows at a time: nothing
    /// weight-shaped is kept from the forward.
    ///
    /// With `G = gradᵀ·x`: `dx = grad·W'`, `dB[o] = Σ_k (W[o,k]ᵀ + I)·G[o,k]`,
    /// `dW[o,k] = G[o,k]·(I + B[o])ᵀ`.
    fn bone_output_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: BoneOutputWants,
    ) -> BoneOutputGrads<FloatTensor<Self>> {
        bone_output::backward::<Self>(input, weight, block, grad, wants)
    }
}
