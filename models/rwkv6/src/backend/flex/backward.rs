//! The hand-written backward of one head. Vectors lie along the key axis: three of the four sums
//! per token run over the value axis, and so are sums of rows.
//!
//! The forward saves only the inputs. A first pass stores the state at every [`SPAN`]th token. The
//! backward pass recomputes the states within one span from there.

use super::head::{Head, Rows, log_decay};
use super::lanes::{Buffer, Real};
use pulp::{Simd, WithSimd};

mod token;

use token::{Sums, Token, advance, back};

/// Tokens between stored states: at head size 64 the states of a span fill a quarter of a core's L2
/// cache.
const SPAN: usize = 16;

pub(super) struct Backward<'a, T> {
    pub(super) head: Head<'a, T>,
    /// Gradient to the output; `None` means zero.
    pub(super) output: Option<Rows<'a, T>>,
    /// Gradient to the last state, `[size (key), size (value)]`; `None` means zero.
    pub(super) last: Option<&'a [T]>,
    pub(super) grads: HeadGrads<'a, T>,
}

/// Destinations of the gradients: one row per token, or one row of the head.
pub(super) struct HeadGrads<'a, T> {
    pub(super) receptance: Vec<&'a mut [T]>,
    pub(super) key: Vec<&'a mut [T]>,
    pub(super) value: Vec<&'a mut [T]>,
    pub(super) decay: Vec<&'a mut [T]>,
    /// `[size]`, of this sequence only.
    pub(super) bonus: &'a mut [T],
    /// To the state before the first token, `[size (key), size (value)]`.
    pub(super) state: Option<&'a mut [T]>,
}

impl<T: Real> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            head,
            output,
            last,
            mut grads,
        } = self;
        let (len, size) = (head.len, head.size);
        let width = T::width::<S>(size);
        let cell = size * width;

        let (log_decays, decays) = decays(&head, width);
        let mut token = Token::<T>::new(width);
        let mut state = Buffer::zeros(cell);
        if let Some(first) = head.state {
            transpose(first, &mut state, size, width);
        }
        let spans = len.div_ceil(SPAN);
        let mut kept = Buffer::zeros(spans * cell);
        let mut next = Buffer::zeros(cell);
        for (span, kept) in kept.chunks_exact_mut(cell).enumerate() {
            kept.copy_from_slice(&state);
            if span + 1 < spans {
                for t in span * SPAN..(span + 1) * SPAN {
                    token.load(&head, t, &decays);
                    advance(simd, &token, &state, &mut next);
                    std::mem::swap(&mut state, &mut next);
                }
            }
        }

        let mut z = Buffer::zeros(cell);
        if let Some(last) = last {
            transpose(last, &mut z, size, width);
        }
        let zeros = vec![T::ZERO; size];
        let mut sums = Sums::new(width);
        let mut states = Buffer::zeros(SPAN * cell);
        for (span, kept) in kept.chunks_exact(cell).enumerate().rev() {
            let first = span * SPAN;
            let count = SPAN.min(len - first);
            states[..cell].copy_from_slice(kept);
            for n in 1..count {
                token.load(&head, first + n - 1, &decays);
                let (before, after) = states.split_at_mut(n * cell);
                advance(simd, &token, &before[(n - 1) * cell..], &mut after[..cell]);
            }
            for (n, state) in states[..count * cell].chunks_exact(cell).enumerate().rev() {
                let t = first + n;
                let g = output.as_ref().map_or(&zeros[..], |rows| rows.at(t));
                token.load(&head, t, &decays);
                back(simd, &token, g, state, &mut z, &mut sums, grads.value[t]);
                finish(
                    &head,
                    t,
                    g,
                    &log_decays[t * size..][..size],
                    &token,
                    &sums,
                    &mut grads,
                );
            }
        }
        if let Some(grad) = grads.state {
            for (i, row) in grad.chunks_exact_mut(size).enumerate() {
                for (j, grad) in row.iter_mut().enumerate() {
                    *grad = z[j * width + i];
                }
            }
        }
    }
}

/// Transposes `[size (key), size (value)]` to rows of values.
fn transpose<T: Copy>(from: &[T], to: &mut [T], size: usize, width: usize) {
    for (i, row) in from.chunks_exact(size).enumerate() {
        for (j, &x) in row.iter().enumerate() {
            to[j * width + i] = x;
        }
    }
}

/// Computes the logarithms of the decays `[len, size]` and the decays `[len, width]` of the whole
/// sequence.
#[inline(always)]
fn decays<T: Real>(head: &Head<'_, T>, width: usize) -> (Vec<T>, Buffer<T>) {
    let mut logs = Vec::with_capacity(head.len * head.size);
    let mut decays = Buffer::zeros(head.len * width);
    for (t, row) in decays.chunks_exact_mut(width).enumerate() {
        for (decay, &w) in row.iter_mut().zip(head.decay.at(t)) {
            let log = log_decay(w);
            *decay = log.exp();
            logs.push(log);
        }
    }
    (logs, decays)
}

/// Completes one token's gradients from the sums over the state.
#[inline(always)]
fn finish<T: Real>(
    head: &Head<'_, T>,
    t: usize,
    g: &[T],
    log_decay: &[T],
    token: &Token<'_, T>,
    sums: &Sums<T>,
    grads: &mut HeadGrads<'_, T>,
) {
    let (r, k, u) = (head.receptance.at(t), head.key.at(t), head.bonus);
    let (mut gv, mut bonus) = (T::ZERO, T::ZERO);
    for (&g, &v) in g.iter().zip(head.value.at(t)) {
        gv += g * v;
    }
    for i in 0..head.size {
        bonus += u[i] * r[i] * k[i];
        grads.receptance[t][i] = sums.receptance[i] + u[i] * k[i] * gv;
        grads.key[t][i] = sums.key[i] + u[i] * r[i] * gv;
        grads.decay[t][i] = token.decay()[i] * sums.decay[i] * log_decay[i];
        grads.bonus[i] += r[i] * k[i] * gv;
    }
    for (grad, &g) in grads.value[t].iter_mut().zip(g) {
        *grad += bonus * g;
    }
}
