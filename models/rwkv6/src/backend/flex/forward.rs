//! The recurrence of one head. Vectors lie along the value axis, so that the output is a sum of
//! the state's rows.

use super::head::{Head, log_decay};
use super::lanes::{Buffer, Real};
use pulp::{Simd, WithSimd};

pub(super) struct Forward<'a, T> {
    pub(super) head: Head<'a, T>,
    /// One row per token.
    pub(super) output: Vec<&'a mut [T]>,
    /// `[size (key), size (value)]`.
    pub(super) state: &'a mut [T],
}

impl<T: Real> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            head,
            output,
            state: last,
        } = self;
        let size = head.size;
        let width = T::width::<S>(size);
        let mut state = Buffer::<T>::zeros(size * width);
        if let Some(first) = head.state {
            for (row, first) in state.chunks_exact_mut(width).zip(first.chunks_exact(size)) {
                row[..size].copy_from_slice(first);
            }
        }
        let mut decay = Buffer::zeros(size);
        let (mut value, mut sum) = (Buffer::zeros(width), Buffer::zeros(width));
        for (t, output) in output.into_iter().enumerate() {
            let (r, k) = (head.receptance.at(t), head.key.at(t));
            for (decay, &w) in decay.iter_mut().zip(head.decay.at(t)) {
                *decay = log_decay(w).exp();
            }
            value[..size].copy_from_slice(head.value.at(t));
            let mut bonus = T::ZERO;
            for ((&r, &k), &u) in r.iter().zip(k).zip(head.bonus) {
                bonus += r * u * k;
            }
            token(
                simd,
                T::vectors_mut::<S>(&mut state),
                [r, k, &decay],
                bonus,
                T::vectors::<S>(&value),
                T::vectors_mut::<S>(&mut sum),
            );
            output.copy_from_slice(&sum[..size]);
        }
        for (row, last) in state.chunks_exact(width).zip(last.chunks_exact_mut(size)) {
            last.copy_from_slice(&row[..size]);
        }
    }
}

/// Processes one token, as many columns of the state at a time as the registers hold.
#[inline(always)]
fn token<S: Simd, T: Real>(
    simd: S,
    state: &mut [T::Vector<S>],
    rkd: [&[T]; 3],
    bonus: T,
    value: &[T::Vector<S>],
    output: &mut [T::Vector<S>],
) {
    let mut first = 0;
    while first + 4 <= value.len() {
        columns::<S, T, 4>(simd, first, state, rkd, bonus, value, output);
        first += 4;
    }
    while first < value.len() {
        columns::<S, T, 1>(simd, first, state, rkd, bonus, value, output);
        first += 1;
    }
}

/// Computes `y = Σ_i r_i·S_i + (Σ_i r_i·u_i·k_i)·v` with the state before, then
/// `S_i ← d_i·S_i + k_i·v`.
#[inline(always)]
fn columns<S: Simd, T: Real, const W: usize>(
    simd: S,
    first: usize,
    state: &mut [T::Vector<S>],
    [r, k, d]: [&[T]; 3],
    bonus: T,
    value: &[T::Vector<S>],
    output: &mut [T::Vector<S>],
) {
    let mut v = [T::splat(simd, T::ZERO); W];
    v.copy_from_slice(&value[first..first + W]);
    let mut sum = [T::splat(simd, T::ZERO); W];
    for (((row, &r), &k), &d) in state.chunks_exact_mut(value.len()).zip(r).zip(k).zip(d) {
        let row = &mut row[first..first + W];
        let (r, k, d) = (T::splat(simd, r), T::splat(simd, k), T::splat(simd, d));
        for x in 0..W {
            let s = row[x];
            sum[x] = T::mul_add(simd, r, s, sum[x]);
            row[x] = T::mul_add(simd, k, v[x], T::product(simd, d, s));
        }
    }
    let bonus = T::splat(simd, bonus);
    for (x, output) in output[first..first + W].iter_mut().enumerate() {
        *output = T::mul_add(simd, bonus, v[x], sum[x]);
    }
}
