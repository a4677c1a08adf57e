//! The operations of this crate, as an extension of Bone's `Backend` trait.
//!
//! The trait's default bodies use ordinary tensor operations. They are the reference for every
//! faster implementation. [`Autodiff`](burn::backend::Autodiff) has hand-written backwards, so a
//! plain backend needs an empty `impl` and nothing else.

use crate::Window;
use burn::tensor::ops::{FloatTensor, IntTensor};
use std::ops::Range;

mod adamw;
mod attention;
mod autodiff;
#[cfg(feature = "cubecl")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "cubecl")]
mod fusion;
#[cfg(feature = "ndarray")]
mod ndarray;
pub mod reference;
mod tiled;

pub use adamw::{AdamWStep, Moments};
pub(crate) use attention::to_query_heads;

/// Scale, shift and groups of a [grouped norm](Backend::grouped_norm).
#[derive(Debug, Clone)]
pub struct NormParams<T> {
    /// `[size]`.
    pub weight: T,
    /// `[size]`.
    pub bias: T,
    /// Number of parts of a row that are normalised separately.
    pub groups: usize,
    /// ε.
    pub epsilon: f64,
}

/// Gradients of a [grouped norm](Backend::grouped_norm).
#[derive(Debug, Clone)]
pub struct NormGrads<T> {
    /// Gradient to the input, `[n, size]`.
    pub input: T,
    /// Gradients to weight and bias, `[size]`, if requested.
    pub params: Option<(T, T)>,
}

/// Gradients of [attention](Backend::windowed_attention), in the shapes of its inputs.
#[derive(Debug, Clone)]
pub struct AttentionGrads<T> {
    /// To the queries.
    pub query: T,
    /// To the keys.
    pub key: T,
    /// To the values.
    pub value: T,
}

/// Queries of [attention](Backend::windowed_attention) that are processed at once.
#[derive(Debug, Clone)]
pub struct QueryTile {
    /// The keys that they see.
    pub window: Window,
    /// Their indices.
    pub queries: Range<usize>,
    /// Number of queries in total.
    pub len: usize,
    /// Factor of the scores, `1 / √width`.
    pub scale: f64,
}

/// The function that a gate applies to its input before it multiplies with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// `x · σ(x)`, of SwiGLU.
    Silu,
    /// `σ(x) = 1 / (1 + e^−x)`.
    Sigmoid,
    /// `max(x, 0)`; for a tensor and itself this is the squared ReLU.
    Relu,
}

/// A backend that can run the language models.
pub trait Backend: bone::Backend {
    /// Computes `−log softmax(logits)[target]` of every row.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[n, vocab]`
    /// - `targets`: `[n]`
    /// - output: `[n]`
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        reference::cross_entropy::<Self>(logits, targets)
    }

    /// Computes [`cross_entropy`](Backend::cross_entropy) and the gradient of each row's loss to
    /// its logits, `softmax(logits) − onehot(target)`, `[n, vocab]`.
    fn cross_entropy_and_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::cross_entropy_and_gradient::<Self>(logits, targets)
    }

    /// Multiplies each row of `rows` `[n, size]` by its entry of `factors` `[n]`.
    fn scale_rows(rows: FloatTensor<Self>, factors: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::scale_rows::<Self>(rows, factors)
    }

    /// Computes `f(gate) · value`, element by element, of tensors of one shape.
    fn gated(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        function: Gate,
    ) -> FloatTensor<Self> {
        reference::gated::<Self>(gate, value, function)
    }

    /// Computes the backward of [`gated`](Backend::gated) for an output gradient `grad`: the
    /// gradients to gate and value. The forward saves only its inputs.
    fn gated_backward(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        function: Gate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        reference::gated_backward::<Self>(gate, value, grad, function)
    }

    /// Computes `tanh(x)`, element by element.
    fn tanh(input: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_tanh(input)
    }

    /// Computes the backward of [`tanh`](Backend::tanh), whose result was `output`:
    /// `grad · (1 − output²)`.
    fn tanh_backward(output: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::tanh_backward::<Self>(output, grad)
    }

    /// Computes `softmax(x)` over the last dimension.
    fn softmax_last(input: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::softmax_last::<Self>(input)
    }

    /// Computes the backward of [`softmax_last`](Backend::softmax_last), whose result was `output`:
    /// `output · (grad − Σ grad · output)`.
    fn softmax_last_backward(
        output: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::softmax_last_backward::<Self>(output, grad)
    }

    /// Returns whether this backend's [`windowed_attention`](Backend::windowed_attention) is one
    /// operation that needs no mask.
    fn attends_by_window() -> bool {
        false
    }

    /// Computes `softmax(query · keyᵀ / √width) · value`, where `window` selects the keys that a
    /// query sees.
    ///
    /// # Shapes
    ///
    /// - `query`: `[batch, heads, len, width]`; the output has the same shape
    /// - `key`, `value`: `[batch, kv heads, keys, width]`, each for `heads / kv heads` query heads
    fn windowed_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        window: &Window,
    ) -> FloatTensor<Self> {
        tiled::forward::<Self>([query, key, value], window)
    }

    /// Computes the backward of [`windowed_attention`](Backend::windowed_attention) of `query`, `key` and
    /// `value` for an output gradient `grad` `[batch, heads, len, width]`. The forward saves only
    /// its inputs.
    fn windowed_attention_backward(
        inputs: [FloatTensor<Self>; 3],
        grad: FloatTensor<Self>,
        window: &Window,
    ) -> AttentionGrads<FloatTensor<Self>> {
        tiled::backward::<Self>(inputs, grad, window)
    }

    /// Computes `softmax(scale · scores)` of a tile's queries over the keys that each sees, and 0
    /// for the others.
    ///
    /// # Shapes
    ///
    /// - `scores`: `[batch, heads, queries, keys]`, as many keys as the last query sees; the output has the same shape
    fn window_softmax(scores: FloatTensor<Self>, tile: &QueryTile) -> FloatTensor<Self> {
        tiled::window_softmax::<Self>(scores, tile)
    }

    /// Computes the backward of [`window_softmax`](Backend::window_softmax), whose result was
    /// `weights`: `scale · weights · (grad − Σ grad · weights)`.
    fn window_softmax_backward(
        weights: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        tiled::window_softmax_backward::<Self>(weights, grad, scale)
    }

    /// Adds `part` `[batch, heads, fewer, width]` to the first positions of `whole`
    /// `[batch, heads, len, width]`, in place if it is not shared.
    fn add_to_first(whole: FloatTensor<Self>, part: FloatTensor<Self>) -> FloatTensor<Self> {
        tiled::add_to_first::<Self>(whole, part)
    }

    /// Rotates the two halves of every head by the angles of its position, given as `cos` and
    /// `sin`. With `back` it rotates in the other direction.
    ///
    /// # Shapes
    ///
    /// - `input`: `[batch, heads, len, width]`; the output has the same shape
    /// - `cos`, `sin`: `[batch or 1, 1, len, width / 2]`
    fn rotate(
        input: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        back: bool,
    ) -> FloatTensor<Self> {
        reference::rotate::<Self>(input, cos, sin, back)
    }

    /// Computes `x / √(mean(x²) + ε) · w` of every row of `input` `[n, size]`, with `weight`
    /// `[size]`.
    fn rms_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        reference::rms_norm::<Self>(input, weight, epsilon)
    }

    /// Computes the backward of [`rms_norm`](Backend::rms_norm) for an output gradient `grad`
    /// `[n, size]`: the gradient to the input, and with `wants_weight` also the gradient to the
    /// weight. The forward saves only its inputs.
    fn rms_norm_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
        wants_weight: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        reference::rms_norm_backward::<Self>(input, weight, grad, epsilon, wants_weight)
    }

    /// Computes `(x − mean) / √(variance + ε) · w + b` over each group of each row of `input`
    /// `[n, size]`.
    fn grouped_norm(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        reference::grouped_norm::<Self>(input, params)
    }

    /// Computes the backward of [`grouped_norm`](Backend::grouped_norm) for an output gradient
    /// `grad` `[n, size]`, and with `wants_params` also the gradients to weight and bias. The
    /// forward saves only its inputs.
    fn grouped_norm_backward(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants_params: bool,
    ) -> NormGrads<FloatTensor<Self>> {
        reference::grouped_norm_backward::<Self>(input, params, grad, wants_params)
    }

    /// Writes `rows` `[batch, heads, len, width]` into `buffer` `[batch, heads, room, width]` from
    /// position `at` on, in place if it is not shared.
    fn write_positions(
        buffer: FloatTensor<Self>,
        at: usize,
        rows: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        reference::write_positions::<Self>(buffer, at, rows)
    }

    /// Returns a parameter and its moments after one AdamW step. All tensors have the same shape
    /// and precision. Missing moments are zero. Tensors that are not shared are updated in place.
    fn adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        moments: Option<Moments<FloatTensor<Self>>>,
        step: &AdamWStep,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        reference::adamw::<Self>(param, grad, moments, step)
    }

    /// Computes `Σ x²` of all entries, `[1]`; for half precision in f32.
    fn squared_sum(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        reference::squared_sum::<Self>(tensor)
    }
}

impl<T> NormParams<T> {
    /// Applies `f` to weight and bias.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> NormParams<U> {
        NormParams {
            weight: f(self.weight),
            bias: f(self.bias),
            groups: self.groups,
            epsilon: self.epsilon,
        }
    }
}
