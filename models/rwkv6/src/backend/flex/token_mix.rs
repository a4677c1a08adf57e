//! Token shift in one pass over memory for each output, rows in parallel.

use super::lanes::Real;
use super::tensor;
use crate::backend::{TokenMix, TokenMixGrads, TokenMixWants};
use burn::tensor::TensorMetadata;
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Rows per thread and pass.
const ROWS: usize = 16;

/// The tokens and their predecessors.
struct Tokens<'a, T> {
    x: &'a [T],
    before: Option<&'a [T]>,
    zeros: Vec<T>,
    len: usize,
    size: usize,
}

impl<'a, T: Real> Tokens<'a, T> {
    fn new(x: &'a FlexTensor, before: Option<&'a FlexTensor>) -> Self {
        let shape = x.shape();
        Self {
            x: x.storage::<T>(),
            before: before.map(FlexTensor::storage::<T>),
            zeros: vec![T::ZERO; shape[2]],
            len: shape[1],
            size: shape[2],
        }
    }

    /// Returns token `row` of all, and its predecessor.
    fn pair(&self, row: usize) -> (&[T], &[T]) {
        let size = self.size;
        let previous = match (row % self.len, self.before) {
            (0, None) => &self.zeros[..],
            (0, Some(before)) => &before[row / self.len * size..][..size],
            _ => &self.x[(row - 1) * size..][..size],
        };
        (&self.x[row * size..][..size], previous)
    }
}

fn contiguous<const K: usize>(inputs: TokenMix<FlexTensor, K>) -> TokenMix<FlexTensor, K> {
    TokenMix {
        x: inputs.x.to_contiguous(),
        before: inputs.before.map(|tensor| tensor.to_contiguous()),
        maa: inputs.maa.map(|tensor| tensor.to_contiguous()),
        by_data: inputs.by_data.map(|tensor| tensor.to_contiguous()),
    }
}

/// A μ: the shared part, and the token's own part, which may be absent.
#[derive(Clone, Copy)]
struct Factors<'a, T> {
    maa: &'a [T],
    by_data: Option<&'a [T]>,
}

impl<'a, T: Real> Factors<'a, T> {
    /// Returns the `k`th μ.
    fn new<const K: usize>(inputs: &'a TokenMix<FlexTensor, K>, k: usize, count: usize) -> Self {
        let own = inputs.by_data.as_ref().map(FlexTensor::storage::<T>);
        Self {
            maa: inputs.maa[k].storage::<T>(),
            by_data: own.map(|all| &all[k * count..][..count]),
        }
    }

    /// Writes the μ of a token to `mu`.
    #[inline(always)]
    fn write(self, row: usize, mu: &mut [T]) {
        mu.copy_from_slice(self.maa);
        if let Some(by_data) = self.by_data {
            for (mu, &own) in mu.iter_mut().zip(&by_data[row * self.maa.len()..]) {
                *mu += own;
            }
        }
    }

    /// Computes each entry of `output` as `x + (previous − x) · μ`.
    #[inline(always)]
    fn mix(self, row: usize, x: &[T], previous: &[T], output: &mut [MaybeUninit<T>]) {
        let size = output.len();
        let (x, previous, maa) = (&x[..size], &previous[..size], &self.maa[..size]);
        match self.by_data.map(|own| &own[row * size..][..size]) {
            None => {
                for i in 0..size {
                    output[i].write(x[i] + (previous[i] - x[i]) * maa[i]);
                }
            }
            Some(own) => {
                for i in 0..size {
                    output[i].write(x[i] + (previous[i] - x[i]) * (maa[i] + own[i]));
                }
            }
        }
    }
}

pub(super) fn forward<T: Real, const K: usize>(inputs: TokenMix<FlexTensor, K>) -> [FlexTensor; K] {
    let inputs = contiguous(inputs);
    let tokens = Tokens::<T>::new(&inputs.x, inputs.before.as_ref());
    let (count, size) = (tokens.x.len(), tokens.size);
    let shape: [usize; 3] = inputs.x.shape().dims();
    std::array::from_fn(|k| {
        let factors = Factors::<T>::new(&inputs, k, count);
        let mut output = Vec::with_capacity(count);
        output.spare_capacity_mut()[..count]
            .par_chunks_exact_mut(size)
            .with_min_len(ROWS)
            .enumerate()
            .for_each(|(row, output)| {
                let (x, previous) = tokens.pair(row);
                factors.mix(row, x, previous, output);
            });
        // SAFETY: the rows of `size` cover the whole, and each wrote all of its values.
        unsafe { output.set_len(count) };
        tensor(output, shape)
    })
}

/// Adds `grad · μ` of a token to `sum`.
#[inline(always)]
fn add_shifted<T: Real>(factors: Factors<'_, T>, grad: &[T], row: usize, sum: &mut [T]) {
    let size = sum.len();
    let (grad, maa) = (&grad[row * size..][..size], factors.maa);
    match factors.by_data {
        None => {
            for ((sum, &grad), &maa) in sum.iter_mut().zip(grad).zip(maa) {
                *sum += grad * maa;
            }
        }
        Some(own) => {
            let own = &own[row * size..][..size];
            for (((sum, &grad), &maa), &own) in sum.iter_mut().zip(grad).zip(maa).zip(own) {
                *sum += grad * (maa + own);
            }
        }
    }
}

pub(super) fn backward<T: Real, const K: usize>(
    inputs: TokenMix<FlexTensor, K>,
    grads: [Option<FlexTensor>; K],
    wants: TokenMixWants,
) -> TokenMixGrads<FlexTensor, K> {
    let inputs = contiguous(inputs);
    let tokens = Tokens::<T>::new(&inputs.x, inputs.before.as_ref());
    let (count, size, len) = (tokens.x.len(), tokens.size, tokens.len);
    let shape: [usize; 3] = inputs.x.shape().dims();
    let grads = grads.map(|grad| grad.map(|tensor| tensor.to_contiguous()));
    let terms: Vec<_> = grads
        .iter()
        .enumerate()
        .filter_map(|(k, grad)| {
            let grad = grad.as_ref()?.storage::<T>();
            Some((k, grad, Factors::<T>::new(&inputs, k, count)))
        })
        .collect();

    let d_x = wants.x.then(|| {
        let mut d_x = vec![T::ZERO; count];
        d_x.par_chunks_exact_mut(size)
            .with_min_len(ROWS)
            .enumerate()
            .for_each_init(
                || vec![T::ZERO; size],
                |mu, (row, d_x)| {
                    for &(_, grad, factors) in &terms {
                        factors.write(row, mu);
                        let grad = &grad[row * size..][..size];
                        for ((d, &grad), &mu) in d_x.iter_mut().zip(grad).zip(&*mu) {
                            *d += grad - grad * mu;
                        }
                    }
                    // The contribution of the next token's mix.
                    if row % len + 1 < len {
                        for &(_, grad, factors) in &terms {
                            add_shifted(factors, grad, row + 1, d_x);
                        }
                    }
                },
            );
        tensor(d_x, shape)
    });
    let d_before = (wants.x && inputs.before.is_some()).then(|| {
        let mut d_before = vec![T::ZERO; shape[0] * size];
        for (sequence, d_before) in d_before.chunks_exact_mut(size).enumerate() {
            for &(_, grad, factors) in &terms {
                add_shifted(factors, grad, sequence * len, d_before);
            }
        }
        tensor(d_before, [shape[0], size])
    });

    // A token's own part gets `grad · (x_{t−1} − x_t)`; the shared part gets the sum over all
    // tokens.
    let add_to_mu = |grad: &[T], row: usize, sum: &mut [T]| {
        let (x, previous) = tokens.pair(row);
        let inputs = grad[row * size..].iter().zip(x.iter().zip(previous));
        for (sum, (&grad, (&x, &previous))) in sum.iter_mut().zip(inputs) {
            *sum += grad * (previous - x);
        }
    };
    let by_data = inputs.by_data.is_some().then(|| {
        let mut by_data = vec![T::ZERO; K * count];
        for &(k, grad, _) in &terms {
            by_data[k * count..][..count]
                .par_chunks_exact_mut(size)
                .with_min_len(ROWS)
                .enumerate()
                .for_each(|(row, own)| add_to_mu(grad, row, own));
        }
        tensor(by_data, [K, count / size, size])
    });
    let maa = wants.maa.then(|| {
        let mut sums = [const { Vec::new() }; K];
        sums.fill_with(|| vec![T::ZERO; size]);
        for &(k, grad, _) in &terms {
            for row in 0..count / size {
                add_to_mu(grad, row, &mut sums[k]);
            }
        }
        sums.map(|sum| tensor(sum, [1, 1, size]))
    });
    TokenMixGrads {
        x: d_x,
        before: d_before,
        maa,
        by_data,
    }
}
