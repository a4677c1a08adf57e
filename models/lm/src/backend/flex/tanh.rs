//! tanh, element by element.

use super::{Loop, Real, wide};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Elements per thread and pass.
const CHUNK: usize = 1 << 13;

struct Forward<'a, T> {
    output: &'a mut [T],
}

impl<T: Real> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for y in self.output {
            *y = y.tanh();
        }
    }
}

struct Backward<'a, T> {
    output: &'a [T],
    grad: &'a mut [T],
}

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (grad, &y) in self.grad.iter_mut().zip(self.output) {
            *grad = *grad - *grad * y * y;
        }
    }
}

fn tensor<T: Real>(values: Vec<T>, like: &FlexTensor) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, like.layout().shape().clone()))
}

pub(super) fn forward<T: Real>(input: &FlexTensor) -> FlexTensor {
    let input = input.to_contiguous();
    let mut values = input.storage::<T>().to_vec();
    values
        .par_chunks_mut(CHUNK)
        .for_each(|output| wide(Forward { output }));
    tensor(values, &input)
}

pub(super) fn backward<T: Real>(output: &FlexTensor, grad: &FlexTensor) -> FlexTensor {
    let [output, grad] = [output, grad].map(FlexTensor::to_contiguous);
    let mut values = grad.storage::<T>().to_vec();
    values
        .par_chunks_mut(CHUNK)
        .zip(output.storage::<T>().par_chunks(CHUNK))
        .for_each(|(grad, output)| wide(Backward { output, grad }));
    tensor(values, &output)
}
