use super::miss::{product, tile_rows};
use crate::{Backend, dropout};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Miss-mini: miss with `D[j,o] = M[j, o mod m]`, so `y = base(x) + tile(S·M)`.
#[derive(Module, Debug)]
pub struct MissMini<B: Backend> {
    /// `M`, `[r, m]`.
    pub block: Param<Tensor<B, 2>>,
    /// Dropout probability on the input of the shard sum.
    pub dropout: f64,
    pub(crate) salt: u64,
}

impl<B: Backend> MissMini<B> {
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        weight: Tensor<B, 2>,
        batch: usize,
    ) -> Tensor<B, 2> {
        let mask = dropout::mask(&x, batch, self.dropout, self.salt);
        product(x, weight, self.block.val(), mask)
    }

    /// `ΔW` of a layer of shape `[in, out]`.
    pub(crate) fn delta(&self, [d_input, d_output]: [usize; 2]) -> Tensor<B, 2> {
        let m = self.block.dims()[1];
        tile_rows(self.block.val().repeat_dim(1, d_output / m), d_input)
    }
}
