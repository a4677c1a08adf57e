//! The operations on the processor: one pass over memory, rows in parallel.

use super::{AdamWStep, AttentionGrads, Backend, Gate, Moments, NormGrads, NormParams, reference};
use crate::Window;
use burn::tensor::DType;
use burn::tensor::ops::{FloatTensor, FloatTensorOps, IntTensor};
use burn_flex::{Flex, FlexTensor};
use pulp::{Arch, Simd, WithSimd};
use std::ops::{Add, Div, Mul, Sub};

mod adamw;
mod attention;
mod cache;
mod cross_entropy;
mod gate;
mod norm;
mod rms_norm;
mod rotate;
mod tanh;
#[cfg(test)]
mod tests;

/// Rows per thread and pass.
const ROWS: usize = 16;

/// A number type of the operations.
trait Real:
    bone::matrix::Real
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    fn from_f64(value: f64) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    fn tanh(self) -> Self;
}

macro_rules! real {
    ($type:ident, $exp:path, $tanh:path) => {
        impl Real for $type {
            fn from_f64(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            fn ln(self) -> Self {
                $type::ln(self)
            }
            fn sqrt(self) -> Self {
                $type::sqrt(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
        }
    };
}

real!(f32, crate::math::exp, crate::math::tanh);
real!(f64, f64::exp, f64::tanh);

/// A loop that is compiled for every vector width. It runs at the widest that the processor
/// supports.
trait Loop {
    type Output;

    /// Runs the loop. Inline it and everything that it calls; other code is compiled for the
    /// narrowest width.
    fn run(self) -> Self::Output;
}

struct Wide<L>(L);

impl<L: Loop> WithSimd for Wide<L> {
    type Output = L::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> L::Output {
        self.0.run()
    }
}

fn wide<L: Loop>(work: L) -> L::Output {
    Arch::new().dispatch(Wide(work))
}

/// Computes `Σ term(a, b)` in lanes that the compiler can put into vector registers.
#[inline(always)]
fn sum_of<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    const LANES: usize = 16;
    let mut lanes = [T::ZERO; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    for (lane, (&a, &b)) in lanes.iter_mut().zip(rest) {
        *lane += term(a, b);
    }
    for (a, b) in whole_a.zip(whole_b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += term(a, b);
        }
    }
    lanes.into_iter().fold(T::ZERO, |sum, lane| sum + lane)
}

/// Returns the values of a tensor for overwriting: its own memory if it is not shared, otherwise a
/// copy.
fn own(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

impl Backend for Flex {
    fn attends_by_window() -> bool {
        true
    }

    fn windowed_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        window: &Window,
    ) -> FloatTensor<Self> {
        let inputs = [&query, &key, &value];
        match query.dtype() {
            DType::F32 => attention::forward::<f32>(inputs, window),
            DType::F64 => attention::forward::<f64>(inputs, window),
            _ => super::attention::forward::<Self>([query, key, value], window),
        }
    }

    fn windowed_attention_backward(
        inputs: [FloatTensor<Self>; 3],
        grad: FloatTensor<Self>,
        window: &Window,
    ) -> AttentionGrads<FloatTensor<Self>> {
        match grad.dtype() {
            DType::F32 => attention::backward::<f32>(&inputs, &grad, window),
            DType::F64 => attention::backward::<f64>(&inputs, &grad, window),
            _ => super::attention::backward::<Self>(inputs, grad, window),
        }
    }

    fn rotate(
        input: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        back: bool,
    ) -> FloatTensor<Self> {
        match input.dtype() {
            DType::F32 => rotate::rotate::<f32>(&input, [&cos, &sin], back),
            DType::F64 => rotate::rotate::<f64>(&input, [&cos, &sin], back),
            _ => reference::rotate::<Self>(input, cos, sin, back),
        }
    }

    fn rms_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        match input.dtype() {
            DType::F32 => rms_norm::forward::<f32>(&input, &weight, epsilon),
            DType::F64 => rms_norm::forward::<f64>(&input, &weight, epsilon),
            _ => reference::rms_norm::<Self>(input, weight, epsilon),
        }
    }

    fn rms_norm_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        epsilon: f64,
        wants_weight: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let inputs = [&input, &weight, &grad];
        match input.dtype() {
            DType::F32 => rms_norm::backward::<f32>(inputs, epsilon, wants_weight),
            DType::F64 => rms_norm::backward::<f64>(inputs, epsilon, wants_weight),
            _ => reference::rms_norm_backward::<Self>(input, weight, grad, epsilon, wants_weight),
        }
    }

    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        match logits.dtype() {
            DType::F32 => cross_entropy::losses::<f32>(&logits, targets),
            DType::F64 => cross_entropy::losses::<f64>(&logits, targets),
            _ => reference::cross_entropy::<Self>(logits, targets),
        }
    }

    fn cross_entropy_and_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match logits.dtype() {
            DType::F32 => cross_entropy::with_gradient::<f32>(own(logits), targets),
            DType::F64 => cross_entropy::with_gradient::<f64>(own(logits), targets),
            _ => reference::cross_entropy_and_gradient::<Self>(logits, targets),
        }
    }

    fn scale_rows(rows: FloatTensor<Self>, factors: FloatTensor<Self>) -> FloatTensor<Self> {
        match rows.dtype() {
            DType::F32 => cross_entropy::scale_rows::<f32>(own(rows), &factors),
            DType::F64 => cross_entropy::scale_rows::<f64>(own(rows), &factors),
            _ => reference::scale_rows::<Self>(rows, factors),
        }
    }

    fn gated(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        function: Gate,
    ) -> FloatTensor<Self> {
        match gate.dtype() {
            DType::F32 => gate::forward::<f32>(&gate, &value, function),
            DType::F64 => gate::forward::<f64>(&gate, &value, function),
            _ => reference::gated::<Self>(gate, value, function),
        }
    }

    fn gated_backward(
        gate: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        function: Gate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match gate.dtype() {
            DType::F32 => gate::backward::<f32>(&gate, &value, &grad, function),
            DType::F64 => gate::backward::<f64>(&gate, &value, &grad, function),
            _ => reference::gated_backward::<Self>(gate, value, grad, function),
        }
    }

    fn tanh(input: FloatTensor<Self>) -> FloatTensor<Self> {
        match input.dtype() {
            DType::F32 => tanh::forward::<f32>(&input),
            DType::F64 => tanh::forward::<f64>(&input),
            _ => Self::float_tanh(input),
        }
    }

    fn tanh_backward(output: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        match output.dtype() {
            DType::F32 => tanh::backward::<f32>(&output, &grad),
            DType::F64 => tanh::backward::<f64>(&output, &grad),
            _ => reference::tanh_backward::<Self>(output, grad),
        }
    }

    fn grouped_norm(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        match input.dtype() {
            DType::F32 => norm::forward::<f32>(&input, params),
            DType::F64 => norm::forward::<f64>(&input, params),
            _ => reference::grouped_norm::<Self>(input, params),
        }
    }

    fn grouped_norm_backward(
        input: FloatTensor<Self>,
        params: NormParams<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wants_params: bool,
    ) -> NormGrads<FloatTensor<Self>> {
        match input.dtype() {
            DType::F32 => norm::backward::<f32>(&input, params, &grad, wants_params),
            DType::F64 => norm::backward::<f64>(&input, params, &grad, wants_params),
            _ => reference::grouped_norm_backward::<Self>(input, params, grad, wants_params),
        }
    }

    fn write_positions(
        buffer: FloatTensor<Self>,
        at: usize,
        rows: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let written = match buffer.dtype() {
            DType::F32 => cache::write::<f32>(buffer, at, &rows),
            DType::F64 => cache::write::<f64>(buffer, at, &rows),
            _ => Err(buffer),
        };
        written.unwrap_or_else(|buffer| reference::write_positions::<Self>(buffer, at, rows))
    }

    fn adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        moments: Option<Moments<FloatTensor<Self>>>,
        step: &AdamWStep,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        match param.dtype() {
            DType::F32 => adamw::step::<f32>(param, &grad, moments, step),
            DType::F64 => adamw::step::<f64>(param, &grad, moments, step),
            _ => reference::adamw::<Self>(param, grad, moments, step),
        }
    }

    fn squared_sum(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        match tensor.dtype() {
            DType::F32 => adamw::squared_sum::<f32>(&tensor),
            DType::F64 => adamw::squared_sum::<f64>(&tensor),
            _ => reference::squared_sum::<Self>(tensor),
        }
    }
}
