//! The operations of this crate, as an extension of the language models' `Backend` trait.
//!
//! Every backend can run wkv6 in ordinary tensor operations ([`Form`](crate::Form)). A backend with
//! a kernel provides it here. [`Autodiff`](burn::backend::Autodiff) gives a kernel its hand-written
//! backward, so a plain backend without one needs an empty `impl` and nothing else.

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata};

mod autodiff;
#[cfg(feature = "cubecl")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "cubecl")]
mod fusion;
#[cfg(feature = "ndarray")]
mod ndarray;
pub(crate) mod token_mix;

/// A backend that can run RWKV6.
pub trait Backend: bone_lm::Backend {
    /// Returns the wkv6 kernel for this head size and this dtype of r, k, v and w; the output has
    /// the same dtype. `None` if the backend has no kernel, or none that the device can run. u and
    /// the states are f32, also for half precision.
    fn wkv6_kernel(
        dtype: DType,
        head_size: usize,
        device: &Self::Device,
    ) -> Option<Wkv6Kernel<FloatTensor<Self>>> {
        let _ = (dtype, head_size, device);
        None
    }

    /// Computes `x_t + (x_{t−1} − x_t)·μ` for each μ of the inputs, `[batch, len, size]` each.
    fn token_mix<const K: usize>(inputs: TokenMix<FloatTensor<Self>, K>) -> [FloatTensor<Self>; K] {
        token_mix::forward::<Self, K>(inputs)
    }

    /// Computes the backward of [`token_mix`](Backend::token_mix) for the outputs' gradients; `None` means
    /// zero. The forward saves only its inputs.
    fn token_mix_backward<const K: usize>(
        inputs: TokenMix<FloatTensor<Self>, K>,
        grads: [Option<FloatTensor<Self>>; K],
        wants: TokenMixWants,
    ) -> TokenMixGrads<FloatTensor<Self>, K> {
        token_mix::backward::<Self, K>(inputs, grads, wants)
    }
}

/// The inputs of a token mix.
#[derive(Debug, Clone)]
pub struct TokenMix<T, const K: usize> {
    /// `[batch, len, size]`.
    pub x: T,
    /// The tokens before the first, `[batch, size]`; `None` means zero.
    pub before: Option<T>,
    /// The part of each μ that is the same for all tokens, `[1, 1, size]`.
    pub maa: [T; K],
    /// The part of each μ that depends on the token, `[K, batch · len, size]`; `None` means zero.
    pub by_data: Option<T>,
}

#[cfg(feature = "cubecl")]
impl<T, const K: usize> TokenMix<T, K> {
    /// Returns x and the shared parts, then the optional tensors that are present.
    fn into_vec(self) -> Vec<T> {
        let mut all = vec![self.x];
        all.extend(self.maa);
        all.extend(self.before);
        all.extend(self.by_data);
        all
    }
}

/// Which gradients a [`Backend::token_mix_backward`] has to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenMixWants {
    /// Those to x and the tokens before.
    pub x: bool,
    /// Those to the shared parts.
    pub maa: bool,
}

/// The gradients to a [`TokenMix`]'s tensors, in their shapes.
#[derive(Debug, Clone)]
pub struct TokenMixGrads<T, const K: usize> {
    /// To x, if requested.
    pub x: Option<T>,
    /// To the tokens before, if present and if the gradient to x was requested.
    pub before: Option<T>,
    /// To the shared parts, if requested.
    pub maa: Option<[T; K]>,
    /// To the tokens' own parts, if present.
    pub by_data: Option<T>,
}

/// One tensor for each input of wkv6: the inputs themselves, or the gradients to them.
///
/// All are of the kernel's dtype.
#[derive(Debug, Clone)]
pub struct Wkv6Inputs<T> {
    /// r, `[batch, len, heads · head_size]`.
    pub receptance: T,
    /// k, same shape as receptance.
    pub key: T,
    /// v, same shape as receptance.
    pub value: T,
    /// w, same shape as receptance; the state decays by `exp(−exp(w))`.
    pub decay: T,
    /// u, `[heads, head_size]`.
    pub bonus: T,
    /// State before the first token, `[batch, heads, head_size (key), head_size (value)]`; `None`
    /// means zero.
    pub state: Option<T>,
}

/// One tensor for each output of wkv6: the outputs themselves, or the gradients to them.
#[derive(Debug, Clone, Default)]
pub struct Wkv6Outputs<T> {
    /// `[batch, len, heads · head_size]`.
    pub output: T,
    /// State after the last token, in the shape of the one before the first.
    pub state: T,
}

/// The forward of a wkv6 kernel.
pub type Wkv6Forward<T> = fn(Wkv6Inputs<T>) -> Wkv6Outputs<T>;

/// The backward of a wkv6 kernel. It computes the gradients to the inputs (to the state if present)
/// from the gradients to the outputs; `None` means zero.
pub type Wkv6Backward<T> = fn(Wkv6Inputs<T>, Wkv6Outputs<Option<T>>) -> Wkv6Inputs<T>;

/// A backend's own wkv6 kernel.
#[derive(Debug)]
pub struct Wkv6Kernel<T> {
    /// Computes the outputs.
    pub forward: Wkv6Forward<T>,
    /// Computes the gradients. Without it, [`Autodiff`](burn::backend::Autodiff) over this backend
    /// has no kernel.
    pub backward: Option<Wkv6Backward<T>>,
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

    /// Returns references to every tensor.
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

#[cfg(feature = "cubecl")]
impl<T> Wkv6Inputs<T> {
    /// Returns the tensors in the order of the fields.
    fn into_vec(self) -> Vec<T> {
        let mut all = Vec::with_capacity(6);
        self.map(|tensor| all.push(tensor));
        all
    }

    /// Restores the tensors from the order of [`into_vec`](Self::into_vec).
    fn from_vec(all: Vec<T>) -> Self {
        let mut all = all.into_iter();
        let mut next = || all.next().expect("at least five");
        Self {
            receptance: next(),
            key: next(),
            value: next(),
            decay: next(),
            bonus: next(),
            state: all.next(),
        }
    }
}

impl<T: TensorMetadata> Wkv6Inputs<T> {
    pub(crate) fn dtype(&self) -> DType {
        self.receptance.dtype()
    }

    pub(crate) fn head_size(&self) -> usize {
        self.bonus.shape()[1]
    }

    #[cfg(feature = "cubecl")]
    fn shape_of_state(&self) -> [usize; 4] {
        let [rows, bonus] = [self.receptance.shape(), self.bonus.shape()];
        [rows[0], bonus[0], bonus[1], bonus[1]]
    }
}
