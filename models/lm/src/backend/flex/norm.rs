//! Layer norm of rows, or of groups of each row.

use super::{Loop, ROWS, Real, sum_of, wide};
use crate::backend::{NormGrads, NormParams};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Returns the mean and `1 / √(variance + ε)` of a group.
#[inline(always)]
fn moments<T: Real>(x: &[T], epsilon: f64) -> (T, T) {
    let count = T::from_f64(x.len() as f64);
    let mean = sum_of(x, x, |x, _| x) / count;
    let variance = sum_of(x, x, |x, _| (x - mean) * (x - mean)) / count;
    let deviation = (variance + T::from_f64(epsilon)).sqrt();
    (mean, T::from_f64(1.0) / deviation)
}

pub(super) fn tensor<T: Real, const D: usize>(values: Vec<T>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

pub(super) fn dims(input: &FlexTensor) -> [usize; 2] {
    let shape = input.layout().shape();
    [shape[0], shape[1]]
}

/// Returns the sum of the parts, each of `size` numbers, in their order.
pub(super) fn summed<T: Real>(parts: Vec<Vec<T>>, size: usize) -> Vec<T> {
    let mut total = vec![T::ZERO; size];
    for part in parts {
        for (total, part) in total.iter_mut().zip(part) {
            *total += part;
        }
    }
    total
}

/// One row of the forward.
struct Row<'a, T> {
    x: &'a [T],
    affine: [&'a [T]; 2],
    shape: (usize, f64),
    output: &'a mut [T],
}

impl<T: Real> Loop for Row<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (group, epsilon) = self.shape;
        let [weight, bias] = self.affine;
        for first in (0..self.x.len()).step_by(group) {
            let part = first..first + group;
            let x = &self.x[part.clone()];
            let (mean, factor) = moments(x, epsilon);
            let affine = weight[part.clone()].iter().zip(&bias[part.clone()]);
            for ((y, &x), (&w, &b)) in self.output[part].iter_mut().zip(x).zip(affine) {
                *y = (x - mean) * factor * w + b;
            }
        }
    }
}

/// Some rows of the backward.
struct Rows<'a, T> {
    x: &'a [T],
    grad: &'a [T],
    weight: &'a [T],
    shape: (usize, f64),
    d_x: &'a mut [T],
    sums: Option<(&'a mut [T], &'a mut [T])>,
}

impl<T: Real> Loop for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let size = self.weight.len();
        let rows = self
            .d_x
            .chunks_exact_mut(size)
            .zip(self.x.chunks_exact(size));
        for ((d_x, x), grad) in rows.zip(self.grad.chunks_exact(size)) {
            let sums = self.sums.as_mut().map(|(w, b)| (&mut **w, &mut **b));
            row([x, grad, self.weight], self.shape, d_x, sums);
        }
    }
}

pub(super) fn forward<T: Real>(input: &FlexTensor, params: NormParams<FlexTensor>) -> FlexTensor {
    let [n, size] = dims(input);
    let input = input.to_contiguous();
    let params = params.map(|tensor| tensor.to_contiguous());
    let (weight, bias) = (params.weight.storage::<T>(), params.bias.storage::<T>());
    let group = size / params.groups;
    let mut output = vec![T::ZERO; n * size];
    output
        .par_chunks_exact_mut(size)
        .with_min_len(ROWS)
        .zip(input.storage::<T>().par_chunks_exact(size))
        .for_each(|(output, x)| {
            wide(Row {
                x,
                affine: [weight, bias],
                shape: (group, params.epsilon),
                output,
            });
        });
    tensor(output, [n, size])
}

/// Computes one row of the backward, and adds its contribution to the sums `d_params`.
#[inline(always)]
fn row<T: Real>(
    [x, grad, weight]: [&[T]; 3],
    (group, epsilon): (usize, f64),
    d_x: &mut [T],
    mut d_params: Option<(&mut [T], &mut [T])>,
) {
    let count = T::from_f64(group as f64);
    for first in (0..x.len()).step_by(group) {
        let part = first..first + group;
        let (x, grad) = (&x[part.clone()], &grad[part.clone()]);
        let (mean, factor) = moments(x, epsilon);
        let d_x = &mut d_x[part.clone()];
        // First the gradient to the normalised value.
        for ((d, &grad), &w) in d_x.iter_mut().zip(grad).zip(&weight[part.clone()]) {
            *d = grad * w;
        }
        let of_mean = sum_of(d_x, x, |d, _| d) / count;
        let along = sum_of(d_x, x, |d, x| d * (x - mean) * factor) / count;
        for (d, &x) in d_x.iter_mut().zip(x) {
            *d = (*d - of_mean - (x - mean) * factor * along) * factor;
        }
        if let Some((d_weight, d_bias)) = &mut d_params {
            let sums = d_weight[part.clone()].iter_mut().zip(&mut d_bias[part]);
            for ((d_weight, d_bias), (&x, &grad)) in sums.zip(x.iter().zip(grad)) {
                *d_weight += grad * (x - mean) * factor;
                *d_bias += grad;
            }
        }
    }
}

pub(super) fn backward<T: Real>(
    input: &FlexTensor,
    params: NormParams<FlexTensor>,
    grad: &FlexTensor,
    wants_params: bool,
) -> NormGrads<FlexTensor> {
    let [n, size] = dims(input);
    let (input, grad) = (input.to_contiguous(), grad.to_contiguous());
    let weight = params.weight.to_contiguous();
    let weight = weight.storage::<T>();
    let shape = (size / params.groups, params.epsilon);
    let mut d_input = vec![T::ZERO; n * size];
    let rows = d_input
        .par_chunks_mut(ROWS * size)
        .zip(input.storage::<T>().par_chunks(ROWS * size))
        .zip(grad.storage::<T>().par_chunks(ROWS * size));
    // One pair of sums per range of rows, so that the total does not depend on the number of
    // threads.
    let parts: Vec<_> = rows
        .map(|((d_x, x), grad)| {
            let mut sums = wants_params.then(|| (vec![T::ZERO; size], vec![T::ZERO; size]));
            wide(Rows {
                x,
                grad,
                weight,
                shape,
                d_x,
                sums: sums.as_mut().map(|(w, b)| (&mut w[..], &mut b[..])),
            });
            sums
        })
        .collect();
    let params = wants_params.then(|| {
        let (weights, biases): (Vec<_>, Vec<_>) = parts.into_iter().flatten().unzip();
        let total = |parts| tensor(summed::<T>(parts, size), [size]);
        (total(weights), total(biases))
    });
    NormGrads {
        input: tensor(d_input, [n, size]),
        params,
    }
}
