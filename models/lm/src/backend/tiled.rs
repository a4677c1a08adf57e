//! Attention a few queries at a time: what exists at once is `[batch, heads, tile, keys]`, never the
//! square, and keys and values are not repeated for the heads of their group.

use super::reference::{primitive, tensor};
use super::{AttentionGrads, Backend};
use crate::{Window, softmax};
use bone::graph::cat;
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;
use std::ops::Range;

/// Queries of a tile.
const TILE: usize = 128;

/// The tiles of `len` queries, and how many keys each may see.
fn tiles(window: &Window, len: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    (0..len).step_by(TILE).map(move |start| {
        let queries = start..len.min(start + TILE);
        let keys = window.end(queries.end - 1);
        (queries, keys)
    })
}

/// Query heads as so many more queries to the heads of keys: `[batch, kv heads, group · len, width]`.
fn grouped<B: Backend>(x: Tensor<B, 4>, kv_heads: usize) -> Tensor<B, 4> {
    let [batch, heads, len, width] = x.dims();
    x.reshape([batch, kv_heads, heads / kv_heads * len, width])
}

/// What the queries of a tile see, and how much.
struct Tile<B: Backend> {
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    /// `[batch, kv heads, group · tile, keys]`.
    weights: Tensor<B, 4>,
}

/// Attention's inputs, and the shape of its output.
struct Inputs<'a, B: Backend> {
    tensors: [Tensor<B, 4>; 3],
    window: &'a Window,
    kv_heads: usize,
}

impl<'a, B: Backend> Inputs<'a, B> {
    fn new(inputs: [FloatTensor<B>; 3], window: &'a Window) -> Self {
        let tensors = inputs.map(tensor::<B, 4>);
        Self {
            kv_heads: tensors[1].dims()[1],
            tensors,
            window,
        }
    }

    fn len(&self) -> usize {
        self.tensors[0].dims()[2]
    }

    fn tile(&self, queries: &Range<usize>, keys: usize) -> Tile<B> {
        let [query, key, value] = self.tensors.clone();
        let [batch, heads, _, width] = query.dims();
        let (group, count) = (heads / self.kv_heads, queries.len());
        let query = grouped(query.narrow(2, queries.start, count), self.kv_heads);
        let [key, value] = [key, value].map(|x| x.narrow(2, 0, keys));
        let scores = query.clone().matmul(key.clone().swap_dims(2, 3));
        let scores = scores / (width as f64).sqrt();
        let hidden = self
            .window
            .hidden_from(queries, keys, self.len(), &query.device());
        let scores = scores
            .reshape([batch, self.kv_heads * group, count, keys])
            .mask_fill(
                hidden.expand([batch, heads, count, keys]),
                f32::NEG_INFINITY,
            )
            .reshape([batch, self.kv_heads, group * count, keys]);
        Tile {
            query,
            key,
            value,
            weights: softmax(scores),
        }
    }
}

/// [`Backend::windowed_attention`].
pub(super) fn forward<B: Backend>(inputs: [FloatTensor<B>; 3], window: &Window) -> FloatTensor<B> {
    let inputs = Inputs::<B>::new(inputs, window);
    let [batch, heads, len, width] = inputs.tensors[0].dims();
    let outputs = tiles(window, len).map(|(queries, keys)| {
        let tile = inputs.tile(&queries, keys);
        let output = tile.weights.matmul(tile.value);
        output.reshape([batch, heads, queries.len(), width])
    });
    primitive(cat(outputs.collect(), 2))
}

/// `whole` with `part` added to its first positions.
fn add_to_first<B: Backend>(whole: Tensor<B, 4>, part: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, heads, len, width] = part.dims();
    let first = [0..batch, 0..heads, 0..len, 0..width];
    let sum = whole.clone().slice(first.clone()) + part;
    whole.slice_assign(first, sum)
}

/// [`Backend::windowed_attention_backward`].
pub(super) fn backward<B: Backend>(
    inputs: [FloatTensor<B>; 3],
    grad: FloatTensor<B>,
    window: &Window,
) -> AttentionGrads<FloatTensor<B>> {
    let (inputs, grad) = (Inputs::<B>::new(inputs, window), tensor::<B, 4>(grad));
    let [batch, heads, len, width] = inputs.tensors[0].dims();
    let mut to_query = Vec::new();
    let [mut to_key, mut to_value] = [1, 2].map(|n| inputs.tensors[n].zeros_like());
    for (queries, keys) in tiles(window, len) {
        let Tile {
            query,
            key,
            value,
            weights,
        } = inputs.tile(&queries, keys);
        let grad = grad.clone().narrow(2, queries.start, queries.len());
        let grad = grouped(grad, inputs.kv_heads);
        let of_value = weights.clone().swap_dims(2, 3).matmul(grad.clone());
        to_value = add_to_first(to_value, of_value);
        let of_weights = grad.matmul(value.swap_dims(2, 3));
        let of_scores = B::softmax_last_backward(primitive(weights), primitive(of_weights));
        let of_scores = tensor::<B, 4>(of_scores) / (width as f64).sqrt();
        let of_query = of_scores.clone().matmul(key);
        to_query.push(of_query.reshape([batch, heads, queries.len(), width]));
        to_key = add_to_first(to_key, of_scores.swap_dims(2, 3).matmul(query));
    }
    AttentionGrads {
        query: primitive(cat(to_query, 2)),
        key: primitive(to_key),
        value: primitive(to_value),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::super::attention;
    use super::*;
    use burn::backend::Flex;
    use burn::tensor::{DType, Distribution};

    fn random(shape: [usize; 4]) -> FloatTensor<Flex> {
        let options = (&Default::default(), DType::F64);
        primitive(Tensor::<Flex, 4>::random(
            shape,
            Distribution::Normal(0.0, 1.0),
            options,
        ))
    }

    fn assert_same(what: &str, a: FloatTensor<Flex>, b: FloatTensor<Flex>) {
        let [a, b] = [a, b].map(tensor::<Flex, 4>);
        assert_eq!(a.dims(), b.dims(), "{what}");
        let off = (a - b).abs().max().into_data().iter::<f64>().next();
        assert!(off.is_some_and(|off| off < 1e-12), "{what}: {off:?}");
    }

    /// One tile and several, the last of them cut; earlier keys, padding, packing, room at the end;
    /// heads in groups.
    #[test]
    fn tiles_make_the_whole() {
        for (len, past, room, heads, kv_heads) in [
            (1, 0, 0, 2, 2),
            (1, 9, 3, 4, 2),
            (128, 0, 0, 2, 1),
            (300, 0, 0, 4, 2),
            (200, 70, 5, 2, 2),
        ] {
            let keys = past + len + room;
            let packed =
                (0..2 * len).map(|n| (past + n % len) as u32 / 100 * 100 * (n / len) as u32);
            for window in [
                Window::causal(past),
                Window::from_first(past, packed.collect()),
            ] {
                let inputs = || {
                    [
                        [2, heads, len, 8],
                        [2, kv_heads, keys, 8],
                        [2, kv_heads, keys, 8],
                    ]
                };
                let inputs = inputs().map(random);
                let grad = random([2, heads, len, 8]);
                let what = format!("{len} queries, {past} keys before, {window:?}");
                let ours = forward::<Flex>(inputs.clone(), &window);
                assert_same(
                    &what,
                    ours,
                    attention::forward::<Flex>(inputs.clone(), &window),
                );
                let ours = backward::<Flex>(inputs.clone(), grad.clone(), &window);
                let whole = attention::backward::<Flex>(inputs, grad, &window);
                assert_same(&what, ours.query, whole.query);
                assert_same(&what, ours.key, whole.key);
                assert_same(&what, ours.value, whole.value);
            }
        }
    }
}
