use super::inverse::inverse_of_identity_plus;
use crate::Backend;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorPrimitive};

/// Bone on the output axis: `W'[o,k] = W[o,k] + W[o,k]·B[o] + B[o]`.
///
/// Source: *Bone: Block Affine Transformation as Parameter Efficient Fine-tuning Methods for
/// Large Language Models*, first version.
#[derive(Module, Debug)]
pub struct Bone<B: Backend> {
    /// `B`, `[out/r, r, r]`.
    pub block: Param<Tensor<B, 3>>,
}

impl<B: Backend> Bone<B> {
    pub(crate) fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        Tensor::from_primitive(TensorPrimitive::Float(B::bone_output_product(
            x.into_primitive().tensor(),
            weight.into_primitive().tensor(),
            self.block.val().into_primitive().tensor(),
        )))
    }

    pub(crate) fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        let block = self.block.val();
        let rows = self.block_rows(weight.clone());
        let product = rows.clone().matmul(block);
        self.weight(rows + product + self.tiled(&weight), weight.dims())
    }

    pub(crate) fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        let inverse = inverse_of_identity_plus(self.block.val())?;
        let rows = self.block_rows(weight.clone()) - self.tiled(&weight);
        Ok(self.weight(rows.matmul(inverse), weight.dims()))
    }

    /// `[in, out]` → `[out/r, r·in/r, r]`: the rows of every block of a block-row.
    fn block_rows(&self, weight: Tensor<B, 2>) -> Tensor<B, 3> {
        let [blocks, r, _] = self.block.dims();
        let d_input = weight.dims()[0];
        weight.transpose().reshape([blocks, d_input, r])
    }

    /// `B[o]` laid over every block of its block-row, shaped as [`block_rows`](Self::block_rows).
    fn tiled(&self, weight: &Tensor<B, 2>) -> Tensor<B, 3> {
        let [blocks, r, _] = self.block.dims();
        let d_input = weight.dims()[0];
        self.block
            .val()
            .unsqueeze_dim::<4>(2)
            .repeat_dim(2, d_input / r)
            .reshape([blocks, d_input, r])
    }

    fn weight(&self, rows: Tensor<B, 3>, [d_input, d_output]: [usize; 2]) -> Tensor<B, 2> {
        rows.reshape([d_output, d_input]).transpose()
    }
}
