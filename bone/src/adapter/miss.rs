use crate::{Backend, dropout};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorPrimitive};

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
        let mask = dropout::mask(&x, batch, self.dropout, self.salt);
        product(x, weight, self.block.val(), mask)
    }

    /// `ΔW` of a layer with `d_input` inputs, `[in, out]`.
    pub(crate) fn delta(&self, d_input: usize) -> Tensor<B, 2> {
        tile_rows(self.block.val(), d_input)
    }
}

/// `x·W + tile(S·D)`, `S` of what a mask leaves of `x`.
pub(super) fn product<B: Backend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    block: Tensor<B, 2>,
    mask: Option<Tensor<B, 2>>,
) -> Tensor<B, 2> {
    let primitive = |tensor: Tensor<B, 2>| tensor.into_primitive().tensor();
    let [x, weight, block] = [x, weight, block].map(primitive);
    let output = B::miss_product(x, weight, block, mask.map(primitive));
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

/// Repeats `[r, out]` downwards to `[d_input, out]`, the last copy cut.
pub(super) fn tile_rows<B: Backend>(block: Tensor<B, 2>, d_input: usize) -> Tensor<B, 2> {
    let [r, d_output] = block.dims();
    block
        .repeat_dim(0, d_input.div_ceil(r))
        .slice([0..d_input, 0..d_output])
}
