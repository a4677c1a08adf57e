//! The operations of this crate, as an extension of burn's `Backend` trait.
//!
//! The trait's default bodies use ordinary tensor operations. They are the reference for every
//! faster implementation. [`Autodiff`](burn::backend::Autodiff) has a hand-written backward, so a
//! plain backend needs an empty `impl` and nothing else.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::{Backend, backend::{BoneWants, reference}, visit::read};
//! use burn::tensor::Tensor;
//!
//! type B = burn::backend::Flex;
//!
//! let device = Default::default();
//! let ones = |shape: [usize; 2]| Tensor::<B, 2>::ones(shape, &device).into_primitive().tensor();
//! // Two rows of inputs, a weight of 6 inputs and 4 outputs, and a miss of rank 3.
//! let (x, weight, block) = (ones([2, 6]), ones([6, 4]), ones([3, 4]));
//! let y = B::miss_product(x.clone(), weight.clone(), block.clone(), None);
//! let by_hand = reference::miss_product::<B>(x.clone(), weight.clone(), block.clone(), None);
//! assert_eq!(read::<B>(y.clone()), read::<B>(by_hand));
//! let wants = BoneWants { input: true, weight: false, block: true };
//! let gradients = B::miss_backward(x, weight, block, None, y, wants);
//! assert!(gradients.input.is_some() && gradients.weight.is_none());
//! # }
//! ```

use crate::kernels::Kernel;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorPrimitive};

mod autodiff;
mod bone_input;
mod bone_output;
#[cfg(feature = "cubecl")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod lora;
mod memory;
pub(crate) mod miss;
#[cfg(feature = "ndarray")]
mod ndarray;
mod product;

pub use memory::DeviceMemory;

/// The reference bodies of the operations, for comparison with faster ones.
pub mod reference {
    pub use super::bone_input::{backward as bone_input_backward, product as bone_input_product};
    pub use super::bone_output::{
        backward as bone_output_backward, product as bone_output_product,
    };
    pub use super::lora::{backward as lora_backward, product as lora_product};
    pub use super::miss::{backward as miss_backward, product as miss_product};
    pub use super::product::{backward as product_backward, forward as product};
}

fn tensor<B: BurnBackend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn primitive<B: BurnBackend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// Computes `a·b` in the precision of `like` if the backend multiplies in it, otherwise in that of
/// `a`. The result has the precision of `a`. f64 stays f64.
fn product_as<B: Backend, const D: usize>(
    a: Tensor<B, D>,
    b: Tensor<B, D>,
    like: DType,
) -> Tensor<B, D> {
    let _span = tracing::trace_span!("matmul").entered();
    let dtype = a.dtype();
    let half = dtype != DType::F64 && matches!(like, DType::F16 | DType::BF16);
    match half && B::multiplies_in(like, &a.device()) {
        true => a.cast(like).matmul(b.cast(like)).cast(dtype),
        false => a.matmul(b.cast(dtype)),
    }
}

/// Gradients of [`Backend::bone_output_product`], [`Backend::bone_input_product`] or
/// [`Backend::miss_product`], each present if requested.
#[derive(Debug, Clone)]
pub struct BoneGrads<T> {
    /// Gradient to the input, `[n, in]`.
    pub input: Option<T>,
    /// Gradient to the weight, `[in, out]`.
    pub weight: Option<T>,
    /// Gradient to the adapter, in its shape.
    pub block: Option<T>,
}

/// Which gradients a backward has to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoneWants {
    /// Whether to compute the gradient of the input.
    pub input: bool,
    /// Whether to compute the gradient of the weight.
    pub weight: bool,
    /// The adapter's.
    pub block: bool,
}

impl From<[bool; 3]> for BoneWants {
    /// Reads the gradients in the order of the fields.
    fn from([input, weight, block]: [bool; 3]) -> Self {
        Self {
            input,
            weight,
            block,
        }
    }
}

/// The term that LoRA adds to a layer.
#[derive(Debug, Clone)]
pub struct LoraTerm<T> {
    /// `A` `[r, in]` and `B` `[out, r]`.
    pub factors: [T; 2],
    /// `s`.
    pub scale: f64,
    /// Number of trainable rows of `A` and columns of `B`; they come first. The gradients to the
    /// others are zero.
    pub trained: usize,
    /// Dropout mask `[n, in]` for the trainable rows. Without a mask, and for frozen rows, the
    /// whole input counts.
    pub mask: Option<T>,
}

/// Which gradients the backward of [`Backend::lora_product`] has to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoraWants {
    /// Whether to compute the gradient of the input.
    pub input: bool,
    /// Whether to compute the gradient of the weight.
    pub weight: bool,
    /// That of `A`.
    pub a: bool,
    /// That of `B`.
    pub b: bool,
}

/// A burn backend with the operations of the Bone method.
///
/// See the [example](crate::backend).
pub trait Backend: BurnBackend {
    /// Returns whether a product with a weight of this half precision runs in that precision
    /// instead of f32. The input is then rounded to it; the result and its gradients may be rounded
    /// too.
    fn multiplies_in(dtype: DType, device: &Self::Device) -> bool {
        let _ = (dtype, device);
        false
    }

    /// Returns the device memory that this backend holds for the tensors of this thread; `None` if
    /// it does not count memory.
    fn device_memory(device: &Self::Device) -> Option<DeviceMemory> {
        let _ = device;
        None
    }

    /// Returns whether this backend has our own kernel for an operation, precision and device.
    /// Otherwise it uses burn's operations.
    fn has_kernel(kernel: Kernel, dtype: DType, device: &Self::Device) -> bool {
        let _ = (kernel, dtype, device);
        false
    }

    /// Computes `x·W` in the precision of `x`.
    ///
    /// # Shapes
    ///
    /// - `input`: `[n, in]`
    /// - `weight`: `[in, out]`, in any float precision
    /// - output: `[n, out]`
    fn product(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        product::forward::<Self>(input, weight)
    }

    /// Computes the backward of [`product`](Backend::product) for an output gradient `grad` `[n, out]`: the
    /// gradients to input and weight that `wants` requests. It casts a half-precision weight again;
    /// the forward saves only its inputs.
    fn product_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        product::backward::<Self>(input, weight, grad, wants)
    }

    /// Computes `y = x·W'ᵀ` with `W'[o,k] = W[o,k] + W[o,k]·B[o] + B[o]` (bone on the output axis).
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

    /// Computes the backward of [`bone_output_product`](Backend::bone_output_product) for an output
    /// gradient `grad` `[n, out]`. It recomputes `W'`, a few block-rows at a time: the forward
    /// saves nothing weight-shaped.
    ///
    /// With `G = gradᵀ·x`: `dx = grad·W'`, `dB[o] = Σ_k (W[o,k]ᵀ + I)·G[o,k]`,
    /// `dW[o,k] = G[o,k]·(I + B[o])ᵀ`.
    fn bone_output_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: BoneWants,
    ) -> BoneGrads<FloatTensor<Self>> {
        bone_output::backward::<Self>(input, weight, block, grad, wants)
    }

    /// Computes `y = x·W'ᵀ` with `W'[o,k] = W[o,k] + W[o,k]·B[k] + B[k]` (bone on the input axis).
    ///
    /// # Shapes
    ///
    /// - `input`: `[n, in]`
    /// - `weight`: `[in, out]`, in any float precision
    /// - `block`: `[in/r, r, r]`
    /// - output: `[n, out]`
    ///
    /// `W'` is never formed: with `x_k` the k-th slice of `x` and `z_k = B[k]·x_k`,
    /// `y = W(x + z) + tile(Σ_k z_k)`, which costs `n·in·r` beside the base product.
    fn bone_input_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        bone_input::product::<Self>(input, weight, block)
    }

    /// Computes the backward of [`bone_input_product`](Backend::bone_input_product) for an output
    /// gradient `grad` `[n, out]`. The forward saves only its inputs.
    ///
    /// With `m = grad·W` and `g_k = m_k + Σ_j grad_j`: `dx_k = m_k + B[k]ᵀ·g_k`,
    /// `dB[k] = g_kᵀ·x_k`, `dW = gradᵀ·(x + z)`.
    fn bone_input_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: BoneWants,
    ) -> BoneGrads<FloatTensor<Self>> {
        bone_input::backward::<Self>(input, weight, block, grad, wants)
    }

    /// Computes `y = x·W + tile(S·D)` with `S = Σ_k (x∘mask)_k` (miss, and with a narrow `D`
    /// miss-mini).
    ///
    /// # Shapes
    ///
    /// - `input`: `[n, in]`
    /// - `weight`: `[in, out]`, in any float precision
    /// - `block`: `[r, m]`, where `m` divides `out` and is `out` for miss
    /// - `mask`: `[n, in]`, of dropout; without it the whole `x` counts
    /// - output: `[n, out]`
    ///
    /// Where `r` does not divide `in`, the last slice of `x` is a short one.
    fn miss_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        mask: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        miss::product::<Self>(input, weight, block, mask)
    }

    /// Computes the backward of [`miss_product`](Backend::miss_product) for an output gradient
    /// `grad` `[n, out]`. The forward saves only its inputs.
    ///
    /// With `g = Σ_j grad_j` over the parts of width `m`: `dD = Sᵀ·g`,
    /// `dx_k = grad·Wᵀ + mask_k∘(g·Dᵀ)` in every slice, `dW = xᵀ·grad`.
    fn miss_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        mask: Option<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants: BoneWants,
    ) -> BoneGrads<FloatTensor<Self>> {
        miss::backward::<Self>(input, weight, block, mask, grad, wants)
    }

    /// Computes `y = x·W + s·((x∘mask)·Aᵀ)·Bᵀ` (LoRA), without `mask` for the frozen rows of `A`.
    ///
    /// # Shapes
    ///
    /// - `input`: `[n, in]`
    /// - `weight`: `[in, out]`, in any float precision
    /// - output: `[n, out]`
    fn lora_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        term: LoraTerm<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        lora::product::<Self>(input, weight, term)
    }

    /// Computes the backward of [`lora_product`](Backend::lora_product) for an output gradient
    /// `grad` `[n, out]`: the gradients to input, weight, `A` and `B`. The forward saves only its
    /// inputs.
    ///
    /// With `g = s·grad·B`: `dx = grad·Wᵀ + mask∘(g·A)`, `dA = gᵀ·(x∘mask)`,
    /// `dB = s·gradᵀ·((x∘mask)·Aᵀ)`.
    fn lora_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        term: LoraTerm<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants: LoraWants,
    ) -> [Option<FloatTensor<Self>>; 4] {
        lora::backward::<Self>(input, weight, term, grad, wants)
    }
}
