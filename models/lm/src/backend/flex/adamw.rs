//! AdamW and the gradients' sum of squares in one pass over memory.

use super::{Loop, Real, own, sum_of, wide};
use crate::backend::{AdamWStep, Moments};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Elements per thread and pass. Sums are grouped by it, so that they do not depend on the number
/// of threads.
const CHUNK: usize = 1 << 14;

struct SquaredSum<'a, T>(&'a [T]);

impl<T: Real> Loop for SquaredSum<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        sum_of(self.0, self.0, |a, b| a * b)
    }
}

pub(super) fn squared_sum<T: Real>(tensor: &FlexTensor) -> FlexTensor {
    let tensor = tensor.to_contiguous();
    let sums: Vec<T> = tensor
        .storage::<T>()
        .par_chunks(CHUNK)
        .map(|chunk| wide(SquaredSum(chunk)))
        .collect();
    // In f64, because a parameter has thousands of chunks.
    let sum = sums.into_iter().map(|sum| sum.elem::<f64>()).sum();
    FlexTensor::from_data(TensorData::new(vec![T::from_f64(sum)], [1]))
}

/// The numbers of an [`AdamWStep`] in the parameter's precision.
#[derive(Clone, Copy)]
struct Factors<T> {
    grad: T,
    keep: [T; 2],
    take: [T; 2],
    decay: T,
    rate: T,
    root: T,
    epsilon: T,
}

impl<T: Real> Factors<T> {
    fn new(step: &AdamWStep) -> Self {
        let [rate, root] = step.corrections().map(T::from_f64);
        Self {
            grad: T::from_f64(step.grad_factor),
            keep: [step.beta1, step.beta2].map(T::from_f64),
            take: [1.0 - step.beta1, 1.0 - step.beta2].map(T::from_f64),
            decay: T::from_f64(step.decay()),
            rate,
            root,
            epsilon: T::from_f64(step.epsilon),
        }
    }
}

struct Update<'a, T> {
    param: &'a mut [T],
    grad: &'a [T],
    first: &'a mut [T],
    second: &'a mut [T],
    factors: Factors<T>,
}

impl<T: Real> Loop for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let f = self.factors;
        let moments = self.first.iter_mut().zip(self.second);
        for ((param, &grad), (first, second)) in self.param.iter_mut().zip(self.grad).zip(moments) {
            let grad = grad * f.grad;
            *first = f.keep[0] * *first + f.take[0] * grad;
            *second = f.keep[1] * *second + f.take[1] * (grad * grad);
            let change = f.rate * *first / (f.root * second.sqrt() + f.epsilon);
            *param = f.decay * *param - change;
        }
    }
}

/// Updates parameter and moments, in place if they are not shared.
pub(super) fn step<T: Real>(
    param: FlexTensor,
    grad: &FlexTensor,
    moments: Option<Moments<FlexTensor>>,
    step: &AdamWStep,
) -> (FlexTensor, Moments<FlexTensor>) {
    let grad = grad.to_contiguous();
    let shape = || grad.layout().shape().clone();
    let zeros = || {
        let zeros = vec![T::ZERO; grad.layout().num_elements()];
        FlexTensor::from_data(TensorData::new(zeros, shape()))
    };
    let mut param = own(param);
    let moments = moments.unwrap_or_else(|| {
        // The first values may be a file's mapped pages. burn would keep them beside the copy that
        // it makes for writing.
        let values = param.storage::<T>().to_vec();
        param = FlexTensor::from_data(TensorData::new(values, shape()));
        Moments {
            first: zeros(),
            second: zeros(),
        }
    });
    let mut first = own(moments.first);
    let mut second = own(moments.second);
    let factors = Factors::<T>::new(step);
    param
        .storage_mut::<T>()
        .par_chunks_mut(CHUNK)
        .zip(grad.storage::<T>().par_chunks(CHUNK))
        .zip(first.storage_mut::<T>().par_chunks_mut(CHUNK))
        .zip(second.storage_mut::<T>().par_chunks_mut(CHUNK))
        .for_each(|(((param, grad), first), second)| {
            wide(Update {
                param,
                grad,
                first,
                second,
                factors,
            });
        });
    (param, Moments { first, second })
}
