//! Attention by tiles of queries, each with the keys that it sees. Only the scores of one tile
//! exist at a time (Dao et al. 2022, "FlashAttention"; the backward follows it too).

use super::{Loop, Real, sum_of, wide};
use crate::Window;
use bone::matrix::{Matrix, forwards, product_to};
use burn::tensor::TensorData;
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::ops::Range;

mod backward;
mod one;

pub(super) use backward::backward;

/// Queries per tile: its scores with 2,048 keys fit into a core's L2 cache.
const TILE: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    /// Query heads that share a head of keys and values.
    group: usize,
    len: usize,
    keys: usize,
    width: usize,
}

impl Sizes {
    fn of(query: &FlexTensor, key: &FlexTensor) -> Self {
        let shape = query.layout().shape();
        let (batch, heads, len, width) = (shape[0], shape[1], shape[2], shape[3]);
        let shape = key.layout().shape();
        Self {
            batch,
            heads,
            group: heads / shape[1].max(1),
            len,
            keys: shape[2],
            width,
        }
    }

    fn scale<T: Real>(self) -> T {
        T::from_f64(1.0 / (self.width as f64).sqrt())
    }

    fn tiles(self) -> impl Iterator<Item = Range<usize>> {
        (0..self.len.div_ceil(TILE)).map(move |tile| tile * TILE..((tile + 1) * TILE).min(self.len))
    }
}

/// A tensor `[batch, heads, positions, width]`, in any memory layout.
#[derive(Clone, Copy)]
struct Heads<'a, T> {
    values: &'a [T],
    strides: [usize; 4],
    width: usize,
}

impl<'a, T: Real> Heads<'a, T> {
    /// Views a tensor that has passed [`forwards`].
    fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let values = tensor.storage::<T>();
        Self {
            values: &values[layout.start_offset().min(values.len())..],
            strides: std::array::from_fn(|axis| layout.strides()[axis].unsigned_abs()),
            width: layout.shape()[3],
        }
    }

    fn rows(self, batch: usize, head: usize, rows: &Range<usize>) -> Matrix<'a, T> {
        let [of_batch, of_head, of_row, of_column] = self.strides;
        let start = batch * of_batch + head * of_head + rows.start * of_row;
        let values = &self.values[start.min(self.values.len())..];
        Matrix::new(values, [rows.len(), self.width], [of_row, of_column])
    }
}

/// Returns `[batch, heads, len, width]` from values stored as `[batch, len, heads, width]`, the
/// layout of the products before and after.
fn by_heads<T: Real>(values: Vec<T>, [batch, heads, len, width]: [usize; 4]) -> FlexTensor {
    let data = TensorData::new(values, [batch, len, heads, width]);
    FlexTensor::from_data(data).transpose(1, 2)
}

/// Returns the range of keys that any query of a tile sees.
fn seen(window: &Window, row: usize, queries: &Range<usize>, sizes: Sizes) -> Range<usize> {
    let each = queries
        .clone()
        .map(|query| window.of(row, query, sizes.len));
    let all = each.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    let all = all.unwrap_or(0..0);
    all.start..all.end.min(sizes.keys)
}

/// Turns scores into the softmax over the keys that a query sees.
struct Softmax<'a, T> {
    scores: &'a mut [T],
    seen: Range<usize>,
    scale: T,
}

impl<T: Real> Loop for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            scores,
            seen,
            scale,
        } = self;
        scores[..seen.start].fill(T::ZERO);
        scores[seen.end..].fill(T::ZERO);
        let scores = &mut scores[seen];
        let largest = super::cross_entropy::largest(scores);
        for score in scores.iter_mut() {
            *score = ((*score - largest) * scale).exp();
        }
        let sum = sum_of(scores, scores, |score, _| score);
        let factor = T::ONE / sum;
        for score in scores.iter_mut() {
            *score = *score * factor;
        }
    }
}

/// Writes the weights of a tile's queries for the keys that any of them sees.
fn weights<T: Real>(
    target: &mut [T],
    [query, key]: [Matrix<'_, T>; 2],
    (window, batch): (&Window, usize),
    [queries, seen]: [&Range<usize>; 2],
    sizes: Sizes,
) {
    let m = seen.len();
    product_to(target, m, query, key.transposed());
    for (query, scores) in queries.clone().zip(target.chunks_exact_mut(m)) {
        let own = window.of(batch, query, sizes.len);
        wide(Softmax {
            scores,
            seen: (own.start - seen.start)..(own.end.min(seen.end) - seen.start),
            scale: sizes.scale(),
        });
    }
}

/// Returns the output `[batch, heads, len, width]`.
pub(super) fn forward<T: Real>(inputs: [&FlexTensor; 3], window: &Window) -> FlexTensor {
    let sizes = Sizes::of(inputs[0], inputs[1]);
    let Sizes {
        batch,
        heads,
        group,
        len,
        width,
        ..
    } = sizes;
    let inputs = inputs.map(|tensor| forwards(tensor.clone()));
    let [q, k, v] = inputs.each_ref().map(Heads::<T>::of);
    if let Some(output) = one::forward([q, k, v], window, sizes) {
        return by_heads(output, [batch, heads, 1, width]);
    }
    let row = heads * width;
    let mut output = vec![T::ZERO; batch * len * row];
    let tiles = output
        .par_chunks_mut((len * row).max(1))
        .enumerate()
        .flat_map(|(batch, output)| {
            output
                .par_chunks_mut(TILE * row)
                .zip(sizes.tiles().collect::<Vec<_>>())
                .map(move |(output, queries)| (batch, queries, output))
        });
    tiles.for_each_init(Vec::new, |scores, (batch, queries, output)| {
        let seen = seen(window, batch, &queries, sizes);
        let (n, m) = (queries.len(), seen.len());
        scores.resize(n * m, T::ZERO);
        for head in 0..heads {
            let kv_head = head / group;
            let of = [q.rows(batch, head, &queries), k.rows(batch, kv_head, &seen)];
            weights(scores, of, (window, batch), [&queries, &seen], sizes);
            let values = v.rows(batch, kv_head, &seen);
            let weights = Matrix::rows(scores, [n, m], m);
            product_to(&mut output[head * width..], row, weights, values);
        }
    });
    by_heads(output, [batch, heads, len, width])
}
