//! The operations of this crate, as an extension of the language models' `Backend` trait.
//!
//! Every backend runs wkv6 in ordinary tensor operations ([`Form`](crate::Form)); one that has a
//! kernel says so here. [`Autodiff`](burn::backend::Autodiff) gives a kernel its hand-written
//! backward, so a plain backend without one needs an empty `impl` and nothing else.

use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use std::fmt;

mod autodiff;
#[cfg(feature = "cubecl")]
mod cube;
#[cfg(feature = "flex")]
mod flex;

/// A backend that can run RWKV6.
pub trait Backend: bone_lm::Backend {
    /// The wkv6 kernel for tensors of one dtype; `None` where this backend has none.
    fn wkv6_kernel(dtype: DType) -> Option<Wkv6Kernel<Self>> {
        let _ = dtype;
        None
    }
}

/// One tensor for each input of wkv6: the inputs themselves, or the gradients to them.
///
/// All are of the kernel's dtype.
#[derive(Debug, Clone)]
pub struct Wkv6Inputs<T> {
    /// r, `[batch, len, heads · head_size]`.
    pub receptance: T,
    /// k, as receptance.
    pub key: T,
    /// v, as receptance.
    pub value: T,
    /// w, as receptance; the state decays by `exp(−exp(w))`.
    pub decay: T,
    /// u, `[heads, head_size]`.
    pub bonus: T,
    /// State before the first token, `[batch, heads, head_size (key), head_size (value)]`;
    /// `None` is zero.
    pub state: Option<T>,
}

/// One tensor for each output of wkv6: the outputs themselves, or the gradients to them.
#[derive(Debug, Clone, Default)]
pub struct Wkv6Outputs<T> {
    /// `[batch, len, heads · head_size]`.
    pub output: T,
    /// State after the last token, as the one before the first.
    pub state: T,
}

/// The forward of a wkv6 kernel.
pub type Wkv6Forward<T> = dyn FnOnce(Wkv6Inputs<T>) -> Wkv6Outputs<T>;

/// The backward of a wkv6 kernel: the gradients to the inputs (to the state when there is one)
/// for those to the outputs; `None` is zero.
pub type Wkv6Backward<T> = fn(Wkv6Inputs<T>, Wkv6Outputs<Option<T>>) -> Wkv6Inputs<T>;

/// A backend's own wkv6.
pub struct Wkv6Kernel<B: Backend> {
    /// Computes the outputs.
    pub forward: Box<Wkv6Forward<FloatTensor<B>>>,
    /// Computes the gradients; without one [`Autodiff`](burn::backend::Autodiff) over this
    /// backend has no kernel.
    pub backward: Option<Wkv6Backward<FloatTensor<B>>>,
}

impl<B: Backend> fmt::Debug for Wkv6Kernel<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wkv6Kernel")
            .field("backward", &self.backward.is_some())
            .finish_non_exhaustive()
    }
}

impl<T> Wkv6Inputs<T> {
    /// Applies `f` to every tensor.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Wkv6Inputs<U> {
        Wkv6Inputs {
            receptance: f(self.receptance),
            key: f(self.key),
            value: f(self.value),
            decay: f(self.decay),
            bonus: f(self.bonus),
            state: self.state.map(f),
        }
    }

    /// References to every tensor.
    pub fn as_ref(&self) -> Wkv6Inputs<&T> {
        Wkv6Inputs {
            receptance: &self.receptance,
            key: &self.key,
            value: &self.value,
            decay: &self.decay,
            bonus: &self.bonus,
            state: self.state.as_ref(),
        }
    }
}
