//! Cross-entropy of rows of logits; the gradient is written over the logits.

use super::{Real, sum_of};
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

/// The largest entry. A NaN that it passes over is in the sum of the exponentials.
fn largest<T: Real>(row: &[T]) -> T {
    let larger = |largest, &x| if x > largest { x } else { largest };
    row.iter().fold(row[0], larger)
}

pub(super) fn losses<T: Real>(logits: &FlexTensor, targets: FlexTensor) -> FlexTensor {
    let (logits, targets) = (logits.to_contiguous(), indices(targets));
    let vocab = logits.layout().shape()[1];
    let losses = logits
        .storage::<T>()
        .par_chunks_exact(vocab)
        .zip(&targets)
        .map(|(row, &target)| {
            let largest = largest(row);
            let sum = sum_of(row, row, |x, _| (x - largest).exp());
            sum.ln() + largest - row[target]
        });
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
        .map(|(row, &target)| {
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
        })
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
