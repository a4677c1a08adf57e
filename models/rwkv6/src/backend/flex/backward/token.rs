//! Processes one token over the whole state of a head, `[value][key]`, as many columns at a time as
//! the registers hold.

use super::{Buffer, Head, Real};
use pulp::Simd;

/// A token's rows, padded to whole vectors.
pub(super) struct Token<'a, T> {
    receptance: Buffer<T>,
    key: Buffer<T>,
    decay: Buffer<T>,
    value: &'a [T],
}

impl<'a, T: Real> Token<'a, T> {
    pub(super) fn new(width: usize) -> Self {
        Self {
            receptance: Buffer::zeros(width),
            key: Buffer::zeros(width),
            decay: Buffer::zeros(width),
            value: &[],
        }
    }

    /// `decays` is `[len, width]`.
    #[inline(always)]
    pub(super) fn load(&mut self, head: &Head<'a, T>, t: usize, decays: &[T]) {
        let (size, width) = (head.size, self.decay.len());
        self.receptance[..size].copy_from_slice(head.receptance.at(t));
        self.key[..size].copy_from_slice(head.key.at(t));
        self.decay.copy_from_slice(&decays[t * width..][..width]);
        self.value = head.value.at(t);
    }

    pub(super) fn decay(&self) -> &[T] {
        &self.decay
    }
}

/// Sums over the value axis, before the bonus term and the chain rule of the decay.
pub(super) struct Sums<T> {
    /// `a[i] = Σ_j g[j]·S[i,j]`.
    pub(super) receptance: Buffer<T>,
    /// `b[i] = Σ_j Z[i,j]·v[j]`.
    pub(super) key: Buffer<T>,
    /// `Σ_j Z[i,j]·S[i,j]`.
    pub(super) decay: Buffer<T>,
}

impl<T: Real> Sums<T> {
    pub(super) fn new(width: usize) -> Self {
        Self {
            receptance: Buffer::zeros(width),
            key: Buffer::zeros(width),
            decay: Buffer::zeros(width),
        }
    }
}

#[inline(always)]
fn take<S: Simd, T: Real, const W: usize>(simd: S, from: &[T], first: usize) -> [T::Vector<S>; W] {
    let mut vectors = [T::splat(simd, T::ZERO); W];
    vectors.copy_from_slice(&T::vectors::<S>(from)[first..first + W]);
    vectors
}

#[inline(always)]
fn put<S: Simd, T: Real, const W: usize>(vectors: [T::Vector<S>; W], to: &mut [T], first: usize) {
    T::vectors_mut::<S>(to)[first..first + W].copy_from_slice(&vectors);
}

/// Computes `to = d·from + v·k`, the state after the token.
#[inline(always)]
pub(super) fn advance<S: Simd, T: Real>(simd: S, token: &Token<'_, T>, from: &[T], to: &mut [T]) {
    let count = T::vectors::<S>(&token.key).len();
    let mut first = 0;
    while first + 4 <= count {
        advance_columns::<S, T, 4>(simd, first, token, from, to);
        first += 4;
    }
    while first < count {
        advance_columns::<S, T, 1>(simd, first, token, from, to);
        first += 1;
    }
}

#[inline(always)]
fn advance_columns<S: Simd, T: Real, const W: usize>(
    simd: S,
    first: usize,
    token: &Token<'_, T>,
    from: &[T],
    to: &mut [T],
) {
    let count = T::vectors::<S>(&token.key).len();
    let k = take::<S, T, W>(simd, &token.key, first);
    let d = take::<S, T, W>(simd, &token.decay, first);
    let from = T::vectors::<S>(from).chunks_exact(count);
    let to = T::vectors_mut::<S>(to).chunks_exact_mut(count);
    for ((from, to), &v) in from.zip(to).zip(token.value) {
        let (from, to) = (&from[first..first + W], &mut to[first..first + W]);
        let v = T::splat(simd, v);
        for x in 0..W {
            to[x] = T::mul_add(simd, v, k[x], T::product(simd, d[x], from[x]));
        }
    }
}

/// Computes the token's sums from the state before it and the gradient `z` to the state after it.
/// `z` becomes the gradient to the state before it. `value` gets `Σ_i k[i]·Z[i,j]`.
#[inline(always)]
pub(super) fn back<S: Simd, T: Real>(
    simd: S,
    token: &Token<'_, T>,
    g: &[T],
    state: &[T],
    z: &mut [T],
    sums: &mut Sums<T>,
    value: &mut [T],
) {
    let count = T::vectors::<S>(&token.key).len();
    value.fill(T::ZERO);
    let mut first = 0;
    if S::REGISTER_COUNT >= 32 {
        while first + 4 <= count {
            back_columns::<S, T, 4>(simd, first, token, g, state, z, sums, value);
            first += 4;
        }
    }
    while first < count {
        back_columns::<S, T, 1>(simd, first, token, g, state, z, sums, value);
        first += 1;
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn back_columns<S: Simd, T: Real, const W: usize>(
    simd: S,
    first: usize,
    token: &Token<'_, T>,
    g: &[T],
    state: &[T],
    z: &mut [T],
    sums: &mut Sums<T>,
    value: &mut [T],
) {
    let count = T::vectors::<S>(&token.key).len();
    let zero = T::splat(simd, T::ZERO);
    let r = take::<S, T, W>(simd, &token.receptance, first);
    let k = take::<S, T, W>(simd, &token.key, first);
    let d = take::<S, T, W>(simd, &token.decay, first);
    let (mut a, mut b, mut l) = ([zero; W], [zero; W], [zero; W]);
    let state = T::vectors::<S>(state).chunks_exact(count);
    let z = T::vectors_mut::<S>(z).chunks_exact_mut(count);
    for ((((state, z), value), &g), &v) in state.zip(z).zip(value).zip(g).zip(token.value) {
        let (state, z) = (&state[first..first + W], &mut z[first..first + W]);
        let (g, v) = (T::splat(simd, g), T::splat(simd, v));
        let mut kz = zero;
        for x in 0..W {
            let (s, before) = (state[x], z[x]);
            a[x] = T::mul_add(simd, g, s, a[x]);
            b[x] = T::mul_add(simd, v, before, b[x]);
            l[x] = T::mul_add(simd, s, before, l[x]);
            kz = T::mul_add(simd, k[x], before, kz);
            z[x] = T::mul_add(simd, r[x], g, T::product(simd, d[x], before));
        }
        *value += T::sum(simd, kz);
    }
    put::<S, T, W>(a, &mut sums.receptance, first);
    put::<S, T, W>(b, &mut sums.key, first);
    put::<S, T, W>(l, &mut sums.decay, first);
}
