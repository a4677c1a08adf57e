//! Rotary positions in one pass.

use super::{Loop, Real, wide};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// The heads at one position.
struct Place<'a, T> {
    input: &'a [T],
    cos: &'a [T],
    sin: &'a [T],
    back: bool,
    output: &'a mut [T],
}

impl<T: Real> Loop for Place<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let half = self.cos.len();
        let sign = if self.back { T::ZERO - T::ONE } else { T::ONE };
        let heads = self.input.chunks_exact(2 * half);
        for (input, output) in heads.zip(self.output.chunks_exact_mut(2 * half)) {
            let (first, second) = input.split_at(half);
            let (turned_first, turned_second) = output.split_at_mut(half);
            let inputs = first.iter().zip(second);
            let angles = self.cos.iter().zip(self.sin);
            let outputs = turned_first.iter_mut().zip(turned_second);
            for ((a, b), ((&x, &y), (&cos, &sin))) in outputs.zip(inputs.zip(angles)) {
                let sin = sin * sign;
                *a = x * cos - y * sin;
                *b = y * cos + x * sin;
            }
        }
    }
}

/// Rotates; the output is stored as `[batch, len, heads, width]`, the layout of products.
pub(super) fn rotate<T: Real>(
    input: &FlexTensor,
    [cos, sin]: [&FlexTensor; 2],
    back: bool,
) -> FlexTensor {
    let shape = input.layout().shape();
    let [batch, heads, len, width] = [shape[0], shape[1], shape[2], shape[3]];
    // In the layout that a product leaves, this copies nothing.
    let input = input.transpose(1, 2).to_contiguous();
    let rows = cos.layout().shape()[0];
    let (cos, sin) = (cos.to_contiguous(), sin.to_contiguous());
    let (cos, sin) = (cos.storage::<T>(), sin.storage::<T>());
    let half = width / 2;
    let row = heads * width;
    let mut output = vec![T::ZERO; batch * len * row];
    output
        .par_chunks_mut(row.max(1))
        .zip(input.storage::<T>().par_chunks(row.max(1)))
        .enumerate()
        .with_min_len(super::ROWS)
        .for_each(|(place, (output, input))| {
            // One row of angles may serve all rows.
            let place = place % (rows * len) * half;
            let angles = place..place + half;
            wide(Place {
                input,
                cos: &cos[angles.clone()],
                sin: &sin[angles],
                back,
                output,
            });
        });
    FlexTensor::from_data(TensorData::new(output, [batch, len, heads, width])).transpose(1, 2)
}
