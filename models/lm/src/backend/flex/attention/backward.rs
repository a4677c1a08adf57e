//! Computes the gradients to queries, keys and values; it recomputes the weights.

use super::{Heads, Loop, Real, Sizes, by_heads, seen, sum_of, weights, wide};
use crate::Window;
use crate::backend::AttentionGrads;
use bone::matrix::{Matrix, add_product, forwards, product_to};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Turns the gradients to a query's weights into those to its scores. Hidden keys have weight zero.
struct OfScores<'a, T> {
    weights: &'a [T],
    grads: &'a mut [T],
    scale: T,
}

impl<T: Real> Loop for OfScores<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let along = sum_of(self.weights, self.grads, |weight, grad| weight * grad);
        for (grad, &weight) in self.grads.iter_mut().zip(self.weights) {
            *grad = weight * (*grad - along) * self.scale;
        }
    }
}

/// The gradients of one key and value head, and of the query heads that share it.
struct Part<T> {
    /// `[group, len, width]`.
    query: Vec<T>,
    /// `[keys, width]`.
    key: Vec<T>,
    /// `[keys, width]`.
    value: Vec<T>,
}

/// The inputs of all parts.
struct Inputs<'a, T> {
    query: Heads<'a, T>,
    key: Heads<'a, T>,
    value: Heads<'a, T>,
    grad: Heads<'a, T>,
}

fn part<T: Real>(
    inputs: &Inputs<'_, T>,
    window: &Window,
    sizes: Sizes,
    [batch, kv_head]: [usize; 2],
) -> Part<T> {
    let Sizes {
        group,
        len,
        keys,
        width,
        ..
    } = sizes;
    let mut part = Part {
        query: vec![T::ZERO; group * len * width],
        key: vec![T::ZERO; keys * width],
        value: vec![T::ZERO; keys * width],
    };
    let (mut tile, mut grads) = (Vec::new(), Vec::new());
    for (of_group, head) in (kv_head * group..(kv_head + 1) * group).enumerate() {
        for queries in sizes.tiles() {
            let seen = seen(window, batch, &queries, sizes);
            let (n, m) = (queries.len(), seen.len());
            tile.resize(n * m, T::ZERO);
            grads.resize(n * m, T::ZERO);
            let query = inputs.query.rows(batch, head, &queries);
            let grad = inputs.grad.rows(batch, head, &queries);
            let key = inputs.key.rows(batch, kv_head, &seen);
            let value = inputs.value.rows(batch, kv_head, &seen);
            let of = [query, key];
            weights(&mut tile, of, (window, batch), [&queries, &seen], sizes);
            product_to(&mut grads, m, grad, value.transposed());
            for (weights, grads) in tile.chunks_exact(m).zip(grads.chunks_exact_mut(m)) {
                wide(OfScores {
                    weights,
                    grads,
                    scale: sizes.scale(),
                });
            }
            let weights = Matrix::rows(&tile, [n, m], m);
            let grads = Matrix::rows(&grads, [n, m], m);
            let of_seen = seen.start * width..;
            add_product(
                &mut part.value[of_seen.clone()],
                width,
                weights.transposed(),
                grad,
            );
            add_product(&mut part.key[of_seen], width, grads.transposed(), query);
            let at = (of_group * len + queries.start) * width;
            product_to(&mut part.query[at..], width, grads, key);
        }
    }
    part
}

/// Joins parts as `[batch, positions, heads, width]`. `of` returns the values of a part,
/// `[heads of the part, positions, width]`.
fn together<T: Real>(
    parts: &[Part<T>],
    [batch, heads, positions, width]: [usize; 4],
    of: impl Fn(&Part<T>) -> &[T] + Sync,
) -> FlexTensor {
    let in_part = heads * batch / parts.len().max(1);
    let mut values = vec![T::ZERO; batch * positions * heads * width];
    values
        .par_chunks_mut((heads * width).max(1))
        .enumerate()
        .for_each(|(row, values)| {
            let (batch, position) = (row / positions, row % positions);
            for (head, values) in values.chunks_exact_mut(width).enumerate() {
                let part = of(&parts[(batch * heads + head) / in_part]);
                let from = (head % in_part * positions + position) * width;
                values.copy_from_slice(&part[from..from + width]);
            }
        });
    by_heads(values, [batch, heads, positions, width])
}

/// Computes the backward of [`forward`](super::forward).
pub(in super::super) fn backward<T: Real>(
    [query, key, value]: &[FlexTensor; 3],
    grad: &FlexTensor,
    window: &Window,
) -> AttentionGrads<FlexTensor> {
    let sizes = Sizes::of(query, key);
    let inputs = [query, key, value, grad];
    let [query, key, value, grad] = inputs.map(|tensor| forwards(tensor.clone()));
    let inputs = Inputs::<T> {
        query: Heads::of(&query),
        key: Heads::of(&key),
        value: Heads::of(&value),
        grad: Heads::of(&grad),
    };
    let kv_heads = sizes.heads / sizes.group;
    let parts: Vec<Part<T>> = (0..sizes.batch * kv_heads)
        .into_par_iter()
        .map(|i| part(&inputs, window, sizes, [i / kv_heads, i % kv_heads]))
        .collect();
    let Sizes {
        batch,
        heads,
        len,
        keys,
        width,
        ..
    } = sizes;
    AttentionGrads {
        query: together(&parts, [batch, heads, len, width], |part| &part.query),
        key: together(&parts, [batch, kv_heads, keys, width], |part| &part.key),
        value: together(&parts, [batch, kv_heads, keys, width], |part| &part.value),
    }
}
