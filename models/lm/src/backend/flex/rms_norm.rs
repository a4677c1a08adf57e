//! Root mean square norm of rows.

use super::norm::{dims, summed, tensor};
use super::{Loop, ROWS, Real, sum_of, wide};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Computes `1 / √(mean(x²) + ε)`.
#[inline(always)]
fn factor<T: Real>(x: &[T], epsilon: f64) -> T {
    let mean = sum_of(x, x, |a, b| a * b) / T::from_f64(x.len() as f64);
    T::ONE / (mean + T::from_f64(epsilon)).sqrt()
}

/// Some rows of the forward.
struct Forward<'a, T> {
    input: &'a [T],
    weight: &'a [T],
    epsilon: f64,
    output: &'a mut [T],
}

impl<T: Real> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let size = self.weight.len();
        let rows = self.input.chunks_exact(size);
        for (x, output) in rows.zip(self.output.chunks_exact_mut(size)) {
            let factor = factor(x, self.epsilon);
            for ((y, &x), &w) in output.iter_mut().zip(x).zip(self.weight) {
                *y = x * factor * w;
            }
        }
    }
}

pub(super) fn forward<T: Real>(
    input: &FlexTensor,
    weight: &FlexTensor,
    epsilon: f64,
) -> FlexTensor {
    let [n, size] = dims(input);
    let (input, weight) = (input.to_contiguous(), weight.to_contiguous());
    let mut output = vec![T::ZERO; n * size];
    output
        .par_chunks_mut((ROWS * size).max(1))
        .zip(input.storage::<T>().par_chunks((ROWS * size).max(1)))
        .for_each(|(output, input)| {
            wide(Forward {
                input,
                weight: weight.storage(),
                epsilon,
                output,
            });
        });
    tensor(output, [n, size])
}

/// Some rows of the backward. The rows' gradients to the weight are added to `of_weight`, which is
/// empty if they are not requested.
struct Backward<'a, T> {
    input: &'a [T],
    grad: &'a [T],
    weight: &'a [T],
    epsilon: f64,
    of_input: &'a mut [T],
    of_weight: &'a mut [T],
}

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let size = self.weight.len();
        let count = T::from_f64(size as f64);
        let rows = self
            .input
            .chunks_exact(size)
            .zip(self.grad.chunks_exact(size));
        for ((x, grad), of_input) in rows.zip(self.of_input.chunks_exact_mut(size)) {
            let factor = factor(x, self.epsilon);
            for ((d, &grad), &w) in of_input.iter_mut().zip(grad).zip(self.weight) {
                *d = grad * w;
            }
            let along = sum_of(of_input, x, |d, x| d * x) * factor * factor / count;
            for (d, &x) in of_input.iter_mut().zip(x) {
                *d = (*d - x * along) * factor;
            }
            for ((d, &grad), &x) in self.of_weight.iter_mut().zip(grad).zip(x) {
                *d += grad * x * factor;
            }
        }
    }
}

pub(super) fn backward<T: Real>(
    [input, weight, grad]: [&FlexTensor; 3],
    epsilon: f64,
    wants_weight: bool,
) -> (FlexTensor, Option<FlexTensor>) {
    let [n, size] = dims(input);
    let [input, weight, grad] = [input, weight, grad].map(FlexTensor::to_contiguous);
    let part = (ROWS * size).max(1);
    let mut of_input = vec![T::ZERO; n * size];
    let rows = of_input
        .par_chunks_mut(part)
        .zip(input.storage::<T>().par_chunks(part))
        .zip(grad.storage::<T>().par_chunks(part));
    // One sum per range of rows, so that the total does not depend on the number of threads.
    let parts: Vec<Vec<T>> = rows
        .map(|((of_input, input), grad)| {
            let mut of_weight = vec![T::ZERO; if wants_weight { size } else { 0 }];
            wide(Backward {
                input,
                grad,
                weight: weight.storage(),
                epsilon,
                of_input,
                of_weight: &mut of_weight,
            });
            of_weight
        })
        .collect();
    let of_weight = wants_weight.then(|| tensor(summed(parts, size), [size]));
    (tensor(of_input, [n, size]), of_weight)
}
