//! One head of one sequence, in the form that the kernel uses.

use super::lanes::Real;
use crate::backend::Wkv6Inputs;

/// Sizes of wkv6's tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dims {
    pub(super) batch: usize,
    pub(super) len: usize,
    pub(super) heads: usize,
    pub(super) size: usize,
}

impl Dims {
    /// Returns the shape of receptance, key, value, decay and the output.
    pub(super) fn rows(self) -> [usize; 3] {
        [self.batch, self.len, self.heads * self.size]
    }

    pub(super) fn bonus(self) -> [usize; 2] {
        [self.heads, self.size]
    }

    pub(super) fn state(self) -> [usize; 4] {
        [self.batch, self.heads, self.size, self.size]
    }
}

/// One head's part of every row of a `[batch, len, heads · size]` tensor, for one sequence.
pub(super) struct Rows<'a, T> {
    data: &'a [T],
    stride: usize,
    size: usize,
}

impl<'a, T> Rows<'a, T> {
    pub(super) fn new(data: &'a [T], dims: Dims, sequence: usize, head: usize) -> Self {
        let stride = dims.heads * dims.size;
        Self {
            data: &data[sequence * dims.len * stride + head * dims.size..],
            stride,
            size: dims.size,
        }
    }

    #[inline(always)]
    pub(super) fn at(&self, token: usize) -> &'a [T] {
        &self.data[token * self.stride..][..self.size]
    }
}

/// Returns the same parts as mutable slices, for all sequences and heads: `[batch · heads][len]`.
pub(super) fn rows_mut<T>(data: &mut [T], dims: Dims) -> Vec<Vec<&mut [T]>> {
    let mut parts: Vec<_> = (0..dims.batch * dims.heads)
        .map(|_| Vec::with_capacity(dims.len))
        .collect();
    for (n, row) in data.chunks_exact_mut(dims.size).enumerate() {
        let sequence = n / (dims.len * dims.heads);
        parts[sequence * dims.heads + n % dims.heads].push(row);
    }
    parts
}

/// Inputs of one head of one sequence.
pub(super) struct Head<'a, T> {
    pub(super) len: usize,
    pub(super) size: usize,
    pub(super) receptance: Rows<'a, T>,
    pub(super) key: Rows<'a, T>,
    pub(super) value: Rows<'a, T>,
    pub(super) decay: Rows<'a, T>,
    pub(super) bonus: &'a [T],
    /// `[size (key), size (value)]`.
    pub(super) state: Option<&'a [T]>,
}

impl<'a, T> Head<'a, T> {
    /// Makes a head; `index` counts heads over all sequences.
    pub(super) fn new(inputs: &Wkv6Inputs<&'a [T]>, dims: Dims, index: usize) -> Self {
        let (sequence, head) = (index / dims.heads, index % dims.heads);
        let rows = |data| Rows::new(data, dims, sequence, head);
        let cell = dims.size * dims.size;
        Self {
            len: dims.len,
            size: dims.size,
            receptance: rows(inputs.receptance),
            key: rows(inputs.key),
            value: rows(inputs.value),
            decay: rows(inputs.decay),
            bonus: &inputs.bonus[head * dims.size..][..dims.size],
            state: inputs.state.map(|state| &state[index * cell..][..cell]),
        }
    }
}

/// Returns the logarithm of the state's factor, `−exp(w)`.
///
/// The bound keeps it finite, so that the gradient of a zero decay is zero, not `0 · ∞`. NaN passes
/// through.
#[inline(always)]
pub(super) fn log_decay<T: Real>(w: T) -> T {
    let bounded = if w > T::LARGEST_DECAY {
        T::LARGEST_DECAY
    } else {
        w
    };
    -bounded.exp()
}
