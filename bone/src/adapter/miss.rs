use super::base_product;
use crate::graph::cat;
use crate::{Backend, dropout};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Miss: `W'[o,i] = W[o,i] + D[i mod r, o]`, so `y = base(x) + S·D` with `S = Σ_k x_k`.
///
/// Inputs that `r` does not divide are padded with zeros on the right.
#[derive(Module, Debug)]
pub struct Miss<B: Backend> {
    /// `D`, `[r, out]`.
    pub block: Param<Tensor<B, 2>>,
    /// Dropout probability on the input of the shard sum.
    pub dropout: f64,
    pub(crate) salt: u64,
}

impl<B: Backend> Miss<B> {
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        weight: Tensor<B, 2>,
        batch: usize,
    ) -> Tensor<B, 2> {
        let dropped = dropout::apply(x.clone(), batch, self.dropout, self.salt);
        let shards = shard_sum(dropped, self.block.dims()[0]);
        base_product(x, weight) + shards.matmul(self.block.val())
    }

    /// `ΔW` of a layer with `d_input` inputs, `[in, out]`.
    pub(crate) fn delta(&self, d_input: usize) -> Tensor<B, 2> {
        tile_rows(self.block.val(), d_input)
    }
}

/// `Σ_k x[…, k·r:(k+1)·r]`: `[n, in]` → `[n, r]`.
pub(super) fn shard_sum<B: Backend>(x: Tensor<B, 2>, r: usize) -> Tensor<B, 2> {
    let [n, d_input] = x.dims();
    let shards = d_input.div_ceil(r);
    let x = if shards * r == d_input {
        x
    } else {
        // Not `pad`, which makes its zeros in the backend's default precision.
        let missing = [n, shards * r - d_input];
        let zeros = Tensor::zeros(missing, (&x.device(), x.dtype()));
        cat(vec![x, zeros], 1)
    };
    x.reshape([n, shards, r]).sum_dim(1).reshape([n, r])
}

/// Repeats `[r, out]` downwards to `[d_input, out]`, the last copy cut.
pub(super) fn tile_rows<B: Backend>(block: Tensor<B, 2>, d_input: usize) -> Tensor<B, 2> {
    let [r, d_output] = block.dims();
    block
        .repeat_dim(0, d_input.div_ceil(r))
        .slice([0..d_input, 0..d_output])
}
