//! Tests the operations of attention between its products.

use super::super::operations::{Named, values};
use super::{Case, Kernel, Numbers, hold};
use bone_lm::{Backend as _, QueryTile, Window};
use bone_train::models::ModelBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Bool, Tensor, TensorData, TensorPrimitive, activation};
use proptest::prelude::*;

/// A part of a row's queries.
#[derive(Debug, Clone, Copy)]
struct Tile {
    batch: usize,
    heads: usize,
    queries: usize,
    /// Number of queries before and after them.
    around: [usize; 2],
    /// Keys before the first query's.
    past: usize,
    /// Tokens of a packed sequence: in the last row, or in each row if one row serves all.
    packed: Option<usize>,
    one_row: bool,
    seed: u64,
}

impl Tile {
    fn len(self) -> usize {
        self.around[0] + self.queries + self.around[1]
    }

    fn keys(self) -> usize {
        self.past + self.around[0] + self.queries
    }

    fn window(self) -> Window {
        let Some(packed) = self.packed else {
            return Window::causal(self.past);
        };
        let rows = if self.one_row { 1 } else { self.batch };
        let first = (0..rows).flat_map(|row| {
            let starts = move |query: usize| match row + 1 == rows {
                true => (self.past + query) / packed * packed,
                false => 0,
            };
            (0..self.len()).map(move |query| starts(query) as u32)
        });
        Window::from_first(self.past, first.collect())
    }
}

/// Returns a tensor without a graph, like the tensors in a backward.
fn inner<B: ModelBackend>(tensor: Tensor<B, 4>) -> FloatTensor<B::InnerBackend> {
    tensor.inner().into_primitive().tensor()
}

fn outer<B: ModelBackend>(primitive: FloatTensor<B::InnerBackend>) -> Tensor<B, 4> {
    Tensor::from_inner(Tensor::from_primitive(TensorPrimitive::Float(primitive)))
}

impl Case for Tile {
    const KERNEL: Option<Kernel> = Some(Kernel::Attention);

    fn seed(self) -> u64 {
        self.seed
    }

    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named {
        let (keys, scale) = (self.keys(), 0.3);
        let shape = [self.batch, self.heads, self.queries, keys];
        let scores = numbers.tensor::<B, 4>(shape, 10.0, device);
        let grad = numbers.tensor::<B, 4>(shape, 1.0, device);
        let longer = [self.batch, self.heads, keys + self.around[1], self.queries];
        let whole = numbers.tensor::<B, 4>(longer, 1.0, device);
        let part = scores.clone().swap_dims(2, 3);
        let window = self.window();
        let tile = QueryTile {
            window: window.clone(),
            queries: self.around[0]..self.around[0] + self.queries,
            len: self.len(),
            scale,
        };
        let (weights, of_scores, sum) = match reference {
            false => {
                let weights = outer::<B>(B::InnerBackend::window_softmax(inner(scores), &tile));
                let of_scores = B::InnerBackend::window_softmax_backward(
                    inner(weights.clone()),
                    inner(grad),
                    scale,
                );
                let sum = B::InnerBackend::add_to_first(inner(whole), inner(part));
                (weights, outer::<B>(of_scores), outer::<B>(sum))
            }
            true => {
                let mut hidden = Vec::new();
                for row in 0..self.batch {
                    for query in tile.queries.clone() {
                        let seen = window.of(row, query, tile.len);
                        hidden.extend((0..keys).map(|key| !seen.contains(&key)));
                    }
                }
                let hidden = TensorData::new(hidden, [self.batch, 1, self.queries, keys]);
                let hidden = Tensor::<B, 4, Bool>::from_data(hidden, device).expand(shape);
                let scores = (scores * scale).mask_fill(hidden, f32::NEG_INFINITY);
                let weights = activation::softmax(scores, 3);
                let along = (weights.clone() * grad.clone()).sum_dim(3);
                let of_scores = weights.clone() * (grad - along) * scale;
                let first = part.dims().map(|size| 0..size);
                let sum = whole.clone().slice(first.clone()) + part;
                (weights, of_scores, whole.slice_assign(first, sum))
            }
        };
        vec![
            ("weights", values(weights)),
            ("to the scores", values(of_scores)),
            ("sum", values(sum)),
        ]
    }
}

fn tiles() -> impl Strategy<Value = Tile> {
    (
        (1..4usize, 1..4usize),
        prop_oneof![Just(1usize), 2..20usize],
        prop_oneof![Just([0, 0]), [0..300usize, 0..20usize]],
        prop_oneof![Just(0usize), 1..40usize],
        prop_oneof![Just(None), (1..30usize).prop_map(Some)],
        any::<(bool, u64)>(),
    )
        .prop_map(
            |((batch, heads), queries, around, past, packed, (one_row, seed))| Tile {
                batch,
                heads,
                queries,
                around,
                past,
                packed,
                one_row,
                seed,
            },
        )
}

proptest! {
    #![proptest_config(super::cases())]

    #[test]
    fn attention_tile_matches_formula(case in tiles()) {
        hold(case);
    }
}
