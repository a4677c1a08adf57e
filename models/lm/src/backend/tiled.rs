//! Attention with a few queries at a time. Only `[batch, heads, tile, keys]` exists at once, never
//! the full square. Keys and values are not repeated for the heads of their group.

use super::reference::{primitive, tensor};
use super::{AttentionGrads, Backend, QueryTile};
use crate::Window;
use bone::graph::cat;
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;
use std::ops::Range;

/// Queries per tile.
const TILE: usize = 128;

/// Returns the tiles of `len` queries, and the number of keys that each may see.
fn tiles(window: &Window, len: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    (0..len).step_by(TILE).map(move |start| {
        let queries = start..len.min(start + TILE);
        let keys = window.end(queries.end - 1);
        (queries, keys)
    })
}

/// Treats the query heads of a group as more queries to the key head:
/// `[batch, kv heads, group · len, width]`.
fn grouped<B: Backend>(x: Tensor<B, 4>, kv_heads: usize) -> Tensor<B, 4> {
    let [batch, heads, len, width] = x.dims();
    x.reshape([batch, kv_heads, heads / kv_heads * len, width])
}

/// The attention weights of a tile's queries and the keys that they see.
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
    /// Factor of the scores.
    scale: f64,
}

impl<'a, B: Backend> Inputs<'a, B> {
    fn new(inputs: [FloatTensor<B>; 3], window: &'a Window) -> Self {
        let tensors = inputs.map(tensor::<B, 4>);
        let width = tensors[0].dims()[3];
        Self {
            kv_heads: tensors[1].dims()[1],
            tensors,
            window,
            scale: (width as f64).sqrt().recip(),
        }
    }

    fn len(&self) -> usize {
        self.tensors[0].dims()[2]
    }

    fn tile(&self, queries: &Range<usize>, keys: usize) -> Tile<B> {
        let [query, key, value] = self.tensors.clone();
        let [batch, heads, _, _] = query.dims();
        let (group, count) = (heads / self.kv_heads, queries.len());
        let query = grouped(query.narrow(2, queries.start, count), self.kv_heads);
        let [key, value] = [key, value].map(|x| x.narrow(2, 0, keys));
        let scores = query.clone().matmul(key.clone().swap_dims(2, 3));
        let scores = scores.reshape([batch, heads, count, keys]);
        let tile = QueryTile {
            window: self.window.clone(),
            queries: queries.clone(),
            len: self.len(),
            scale: self.scale,
        };
        let weights = tensor::<B, 4>(B::window_softmax(primitive(scores), &tile));
        Tile {
            query,
            key,
            value,
            weights: weights.reshape([batch, self.kv_heads, group * count, keys]),
        }
    }
}

/// Computes the reference result of [`Backend::window_softmax`].
pub(super) fn window_softmax<B: Backend>(
    scores: FloatTensor<B>,
    tile: &QueryTile,
) -> FloatTensor<B> {
    let scores = tensor::<B, 4>(scores) * tile.scale;
    let (shape, device) = (scores.dims(), scores.device());
    let hidden = tile
        .window
        .hidden_from(&tile.queries, shape[3], tile.len, &device);
    let scores = scores.mask_fill(hidden.expand(shape), f32::NEG_INFINITY);
    B::softmax_last(primitive(scores))
}

/// Computes the reference result of [`Backend::window_softmax_backward`].
pub(super) fn window_softmax_backward<B: Backend>(
    weights: FloatTensor<B>,
    grad: FloatTensor<B>,
    scale: f64,
) -> FloatTensor<B> {
    let grad = B::softmax_last_backward(weights, grad);
    B::float_mul_scalar(grad, scale.into())
}

/// Runs [`Backend::windowed_attention`].
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

/// Computes the reference result of [`Backend::add_to_first`].
pub(super) fn add_to_first<B: Backend>(
    whole: FloatTensor<B>,
    part: FloatTensor<B>,
) -> FloatTensor<B> {
    let [whole, part] = [whole, part].map(tensor::<B, 4>);
    let first = part.dims().map(|size| 0..size);
    let sum = whole.clone().slice(first.clone()) + part;
    primitive(whole.slice_assign(first, sum))
}

/// A sum of parts that each cover the first positions; the longest comes first.
struct Sum<B: Backend> {
    shape: [usize; 4],
    so_far: Option<FloatTensor<B>>,
}

impl<B: Backend> Sum<B> {
    fn add(&mut self, part: Tensor<B, 4>) {
        let whole = match self.so_far.take() {
            None if part.dims() == self.shape => return self.so_far = Some(primitive(part)),
            None => primitive(Tensor::<B, 4>::zeros(
                self.shape,
                (&part.device(), part.dtype()),
            )),
            Some(sum) => sum,
        };
        self.so_far = Some(B::add_to_first(whole, primitive(part)));
    }
}

/// Runs [`Backend::windowed_attention_backward`].
pub(super) fn backward<B: Backend>(
    inputs: [FloatTensor<B>; 3],
    grad: FloatTensor<B>,
    window: &Window,
) -> AttentionGrads<FloatTensor<B>> {
    let (inputs, grad) = (Inputs::<B>::new(inputs, window), tensor::<B, 4>(grad));
    let [batch, heads, len, width] = inputs.tensors[0].dims();
    let mut to_query = Vec::new();
    let [mut to_key, mut to_value] = [1, 2].map(|n| Sum::<B> {
        shape: inputs.tensors[n].dims(),
        so_far: None,
    });
    // The last tile sees all keys, so the other parts are added to its part.
    let all: Vec<_> = tiles(window, len).collect();
    for (queries, keys) in all.into_iter().rev() {
        let Tile {
            query,
            key,
            value,
            weights,
        } = inputs.tile(&queries, keys);
        let grad = grad.clone().narrow(2, queries.start, queries.len());
        let grad = grouped(grad, inputs.kv_heads);
        to_value.add(weights.clone().swap_dims(2, 3).matmul(grad.clone()));
        let of_weights = grad.matmul(value.swap_dims(2, 3));
        let of_scores =
            B::window_softmax_backward(primitive(weights), primitive(of_weights), inputs.scale);
        let of_scores = tensor::<B, 4>(of_scores);
        let of_query = of_scores.clone().matmul(key);
        to_query.push(of_query.reshape([batch, heads, queries.len(), width]));
        to_key.add(of_scores.swap_dims(2, 3).matmul(query));
    }
    to_query.reverse();
    let [key, value] = [to_key, to_value].map(|sum| sum.so_far.expect("there are queries"));
    AttentionGrads {
        query: primitive(cat(to_query, 2)),
        key,
        value,
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

    /// One tile and several, the last one shorter; earlier keys, padding, packing, unused room at
    /// the end; grouped heads.
    #[test]
    fn tiled_attention_equals_whole_attention() {
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
