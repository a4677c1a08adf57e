//! A gate and its value, element by element.

use super::{Loop, Real, wide};
use crate::backend::Gate;
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Elements per thread and pass: two inputs and an output fit into a core's L2 cache.
const CHUNK: usize = 1 << 14;

/// Passes a gate's function `x ↦ (f(x), f'(x))` to work that is generic over it.
#[inline(always)]
fn with_function<T: Real>(function: Gate, work: impl WithFunction<T>) {
    let one = T::from_f64(1.0);
    let sigmoid = |x: T| one / (one + (T::ZERO - x).exp());
    match function {
        Gate::Silu => work.run(|x| {
            let s = sigmoid(x);
            (x * s, s + x * s * (one - s))
        }),
        Gate::Sigmoid => work.run(|x| {
            let s = sigmoid(x);
            (s, s * (one - s))
        }),
        // NaN stays NaN, because it is not below zero.
        Gate::Relu => work.run(|x| {
            if x <= T::ZERO {
                (T::ZERO, T::ZERO)
            } else {
                (x, one)
            }
        }),
    }
}

trait WithFunction<T> {
    fn run(self, function: impl Fn(T) -> (T, T));
}

struct Forward<'a, T> {
    inputs: [&'a [T]; 2],
    output: &'a mut [MaybeUninit<T>],
}

impl<T: Real> WithFunction<T> for Forward<'_, T> {
    #[inline(always)]
    fn run(self, function: impl Fn(T) -> (T, T)) {
        let [x, v] = self.inputs;
        for ((y, &x), &v) in self.output.iter_mut().zip(x).zip(v) {
            y.write(function(x).0 * v);
        }
    }
}

struct Backward<'a, T> {
    inputs: [&'a [T]; 3],
    outputs: [&'a mut [MaybeUninit<T>]; 2],
}

impl<T: Real> WithFunction<T> for Backward<'_, T> {
    #[inline(always)]
    fn run(self, function: impl Fn(T) -> (T, T)) {
        let [x, v, g] = self.inputs;
        let [d_gate, d_value] = self.outputs;
        let outputs = d_gate.iter_mut().zip(d_value);
        for ((d_gate, d_value), ((&x, &v), &g)) in outputs.zip(x.iter().zip(v).zip(g)) {
            let (y, slope) = function(x);
            d_gate.write(g * v * slope);
            d_value.write(g * y);
        }
    }
}

struct Part<W>(Gate, W);

impl<T: Real> Loop for Part<Forward<'_, T>> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        with_function(self.0, self.1);
    }
}

impl<T: Real> Loop for Part<Backward<'_, T>> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        with_function(self.0, self.1);
    }
}

fn tensor<T: Real>(values: Vec<T>, like: &FlexTensor) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, like.layout().shape().clone()))
}

pub(super) fn forward<T: Real>(
    gate: &FlexTensor,
    value: &FlexTensor,
    function: Gate,
) -> FlexTensor {
    let (gate, value) = (gate.to_contiguous(), value.to_contiguous());
    let (x, v) = (gate.storage::<T>(), value.storage::<T>());
    assert_eq!(x.len(), v.len(), "gate and value differ in length");
    let mut output = Vec::with_capacity(x.len());
    output.spare_capacity_mut()[..x.len()]
        .par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK).zip(v.par_chunks(CHUNK)))
        .for_each(|(output, (x, v))| {
            let inputs = [x, v];
            wide(Part(function, Forward { inputs, output }));
        });
    // SAFETY: the three have the same length, so every value was written.
    unsafe { output.set_len(x.len()) };
    tensor(output, &gate)
}

pub(super) fn backward<T: Real>(
    gate: &FlexTensor,
    value: &FlexTensor,
    grad: &FlexTensor,
    function: Gate,
) -> (FlexTensor, FlexTensor) {
    let [gate, value, grad] = [gate, value, grad].map(FlexTensor::to_contiguous);
    let [x, v, g] = [&gate, &value, &grad].map(|tensor| tensor.storage::<T>());
    assert!(
        x.len() == v.len() && x.len() == g.len(),
        "gate, value and gradient differ in length"
    );
    let [mut d_gate, mut d_value] = [(); 2].map(|()| Vec::with_capacity(x.len()));
    let [of_gate, of_value] =
        [&mut d_gate, &mut d_value].map(|grad| &mut grad.spare_capacity_mut()[..x.len()]);
    let outputs = of_gate
        .par_chunks_mut(CHUNK)
        .zip(of_value.par_chunks_mut(CHUNK));
    let inputs = x
        .par_chunks(CHUNK)
        .zip(v.par_chunks(CHUNK))
        .zip(g.par_chunks(CHUNK));
    outputs
        .zip(inputs)
        .for_each(|((d_gate, d_value), ((x, v), g))| {
            let (inputs, outputs) = ([x, v, g], [d_gate, d_value]);
            wide(Part(function, Backward { inputs, outputs }));
        });
    // SAFETY: all five have the same length, so every value was written.
    unsafe {
        d_gate.set_len(x.len());
        d_value.set_len(x.len());
    }
    (tensor(d_gate, &gate), tensor(d_value, &gate))
}
