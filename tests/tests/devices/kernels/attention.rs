//! Tests attention by tiles of queries.

use super::super::operations::{Named, values};
use super::{Case, Kernel, Numbers, hold_once};
use bone_lm::{Sight, Window, attention};
use bone_train::models::ModelBackend;
use burn::tensor::{Bool, Tensor, TensorData};

/// Attention with one shape.
#[derive(Debug, Clone, Copy)]
struct Attention {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    width: usize,
    len: usize,
    /// Keys before the first query's.
    past: usize,
    /// Start of a second sequence in the last row.
    second: Option<usize>,
}

impl Attention {
    fn window(self) -> Window {
        let Some(second) = self.second else {
            return Window::causal(self.past);
        };
        let rows = (0..self.batch).flat_map(|row| (0..self.len).map(move |query| (row, query)));
        let first = rows.map(
            |(row, query)| match row + 1 == self.batch && query >= second {
                true => second as u32,
                false => 0,
            },
        );
        Window::from_first(self.past, first.collect())
    }
}

impl Case for Attention {
    const KERNEL: Option<Kernel> = Some(Kernel::Attention);

    fn seed(self) -> u64 {
        self.len as u64
    }

    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named {
        let Self {
            batch,
            heads,
            kv_heads,
            width,
            len,
            past,
            ..
        } = self;
        let keys = past + len;
        let of_queries = [batch, heads, len, width];
        let of_keys = [batch, kv_heads, keys, width];
        let inputs = [of_queries, of_keys, of_keys]
            .map(|shape| numbers.tensor::<B, 4>(shape, 2.0, device).require_grad());
        let toward = numbers.tensor::<B, 4>(of_queries, 1.0, device);
        let [query, key, value] = inputs.clone();
        let window = self.window();
        let output = match reference {
            false => attention(query, key, value, &Sight::new(window, [len, keys], device)),
            true => {
                // Pairs each head of keys with every head of its group of queries.
                let whole = |x: Tensor<B, 4>| {
                    let groups = [batch, kv_heads, heads / kv_heads, keys, width];
                    let x = x.unsqueeze_dim::<5>(2).expand(groups);
                    x.reshape([batch, heads, keys, width])
                };
                let [key, value] = [key, value].map(whole);
                let sees = |row, query, key| window.of(row, query, len).contains(&key);
                let mut hidden = Vec::new();
                for row in 0..batch {
                    for query in 0..len {
                        hidden.extend((0..keys).map(|key| !sees(row, query, key)));
                    }
                }
                let hidden = TensorData::new(hidden, [batch, 1, len, keys]);
                let hidden = Tensor::<B, 4, Bool>::from_data(hidden, device);
                let scores = query.matmul(key.transpose()) / (width as f64).sqrt();
                let scores =
                    scores.mask_fill(hidden.expand([batch, heads, len, keys]), f32::NEG_INFINITY);
                burn::tensor::activation::softmax(scores, 3).matmul(value)
            }
        };
        let mut found = vec![("output", values(output.clone()))];
        let grads = (output * toward).sum().backward();
        for (name, tensor) in ["to the queries", "to the keys", "to the values"]
            .into_iter()
            .zip(&inputs)
        {
            found.push((name, values(tensor.grad(&grads).expect("tracked"))));
        }
        found
    }
}

/// An emulated device compiles each shape for a minute, so there are few: a single query; heads of 8
/// in groups with two sequences in a row; heads of 64 in groups with earlier keys and a second tile.
/// `window` tests the operations between the products over many shapes.
#[test]
fn attention_matches_formula() {
    let one = Attention {
        batch: 2,
        heads: 2,
        kv_heads: 2,
        width: 8,
        len: 1,
        past: 0,
        second: None,
    };
    hold_once(one);
    hold_once(Attention {
        heads: 4,
        len: 37,
        second: Some(11),
        ..one
    });
    hold_once(Attention {
        batch: 1,
        heads: 4,
        width: 64,
        len: 131,
        past: 6,
        ..one
    });
}
