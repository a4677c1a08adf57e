//! Cross-entropy of rows of logits; the gradient overwrites the logits.

use super::{Loop, Real, sum_of, wide};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;

fn indices(targets: FlexTensor) -> Vec<usize> {
    let data = targets.into_data();
    data.iter::<i64>().map(|target| target as usize).collect()
}

fn vector<T: Real>(values: Vec<T>) -> FlexTensor {
    let count = values.len();
    FlexTensor::from_data(TensorData::new(values, [count]))
}

/// Returns the largest entry, in lanes like [`sum_of`]. It ignores NaN, which appears in the sum of
/// the exponentials.
#[inline(always)]
pub(super) fn largest<T: Real>(row: &[T]) -> T {
    let larger = |largest, x| if x > largest { x } else { largest };
    let mut lanes = [row[0]; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(row[0], |a, &x| larger(a, x));
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    lanes.into_iter().fold(rest, larger)
}

/// The loss of a row.
struct Loss<'a, T>(&'a [T], usize);

impl<T: Real> Loop for Loss<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        let Self(row, target) = self;
        let largest = largest(row);
        let sum = sum_of(row, row, |x, _| (x - largest).exp());
        sum.ln() + largest - row[target]
    }
}

/// Computes the loss of a row and overwrites the row with its gradient.
struct WithGradient<'a, T>(&'a mut [T], usize);

impl<T: Real> Loop for WithGradient<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        let Self(row, target) = self;
        let (largest, of_target) = (largest(row), row[target]);
        for x in row.iter_mut() {
            *x = (*x - largest).exp();
        }
        let sum = sum_of(row, row, |x, _| x);
        let factor = T::from_f64(1.0) / sum;
        for x in row.iter_mut() {
            *x = *x * factor;
        }
        row[target] = row[target] - T::from_f64(1.0);
        sum.ln() + largest - of_target
    }
}

pub(super) fn losses<T: Real>(logits: &FlexTensor, targets: FlexTensor) -> FlexTensor {
    let (logits, targets) = (logits.to_contiguous(), indices(targets));
    let vocab = logits.layout().shape()[1];
    let losses = logits
        .storage::<T>()
        .par_chunks_exact(vocab)
        .zip(&targets)
        .map(|(row, &target)| wide(Loss(row, target)));
    vector(losses.collect())
}

pub(super) fn with_gradient<T: Real>(
    mut logits: FlexTensor,
    targets: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let targets = indices(targets);
    let vocab = logits.layout().shape()[1];
    let losses = logits
        .storage_mut::<T>()
        .par_chunks_exact_mut(vocab)
        .zip(&targets)
        .map(|(row, &target)| wide(WithGradient(row, target)))
        .collect();
    (vector::<T>(losses), logits)
}

pub(super) fn scale_rows<T: Real>(mut rows: FlexTensor, factors: &FlexTensor) -> FlexTensor {
    let size = rows.layout().shape()[1];
    let factors = factors.to_contiguous();
    rows.storage_mut::<T>()
        .par_chunks_exact_mut(size)
        .zip(factors.storage::<T>())
        .for_each(|(row, &factor)| {
            for x in row.iter_mut() {
                *x = *x * factor;
            }
        });
    rows
}
