//! Tests bone on the output axis, which computes some rows of W' at a time.

use super::super::operations::{Named, values};
use super::{Case, Kernel, Numbers, hold_once};
use bone_train::models::ModelBackend;
use burn::tensor::{Tensor, TensorPrimitive};

/// A layer with one shape.
#[derive(Debug, Clone, Copy)]
struct Layer {
    tokens: usize,
    d_input: usize,
    d_output: usize,
    rank: usize,
}

impl Case for Layer {
    const KERNEL: Option<Kernel> = None;

    fn seed(self) -> u64 {
        self.rank as u64
    }

    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named {
        let Self {
            tokens,
            d_input,
            d_output,
            rank: r,
        } = self;
        let blocks = d_output / r;
        let x = numbers.tensor::<B, 2>([tokens, d_input], 1.0, device);
        let w = numbers.tensor::<B, 2>([d_output, d_input], 1.0, device);
        let block = numbers.tensor::<B, 3>([blocks, r, r], 1.0, device);
        let [x, w] = [x, w].map(Tensor::require_grad);
        let block = block.require_grad();
        let toward = numbers.tensor::<B, 2>([tokens, d_output], 1.0, device);
        let y = match reference {
            false => {
                let [x, w] =
                    [x.clone(), w.clone().transpose()].map(|t| t.into_primitive().tensor());
                let block = block.clone().into_primitive().tensor();
                let y = <B as bone::Backend>::bone_output_product(x, w, block);
                Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(y))
            }
            true => {
                // W in blocks of r × r: W[o,k] + W[o,k]·B[o] + B[o].
                let cut = w.clone().reshape([blocks, r, d_input / r, r]);
                let cut = cut.swap_dims(1, 2);
                let all = [blocks, d_input / r, r, r];
                let each = block.clone().unsqueeze_dim::<4>(1).expand(all);
                let effective = cut.clone() + cut.matmul(each.clone()) + each;
                let effective = effective.swap_dims(1, 2).reshape([d_output, d_input]);
                x.clone().matmul(effective.transpose())
            }
        };
        let mut found = vec![("output", values(y.clone()))];
        let grads = (y * toward).sum().backward();
        found.push(("to x", values(x.grad(&grads).expect("tracked"))));
        found.push(("to the weight", values(w.grad(&grads).expect("tracked"))));
        found.push((
            "to the blocks",
            values(block.grad(&grads).expect("tracked")),
        ));
        found
    }
}

/// Few shapes, as for attention: one token with the smallest rank; more rows of W' than one group holds.
#[test]
fn bone_output_axis_matches_formula() {
    hold_once(Layer {
        tokens: 1,
        d_input: 6,
        d_output: 4,
        rank: 2,
    });
    hold_once(Layer {
        tokens: 19,
        d_input: 64,
        d_output: 320,
        rank: 32,
    });
}
