use super::inverse::inverse_of_identity_plus;
use crate::Backend;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorPrimitive};

/// Bone on the input axis: `W'[o,k] = W[o,k] + W[o,k]·B[k] + B[k]`.
///
/// The forward never forms `W'`: [`Backend::bone_input_product`].
#[derive(Module, Debug)]
pub struct BoneInput<B: Backend> {
    /// `B`, `[in/r, r, r]`.
    pub block: Param<Tensor<B, 3>>,
}

impl<B: Backend> BoneInput<B> {
    pub(crate) fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        Tensor::from_primitive(TensorPrimitive::Float(B::bone_input_product(
            x.into_primitive().tensor(),
            weight.into_primitive().tensor(),
            self.block.val().into_primitive().tensor(),
        )))
    }

    pub(crate) fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        let columns = self.block_columns(weight.clone());
        let product = columns.clone().matmul(self.block.val());
        self.weight(columns + product + self.tiled(&weight), weight.dims())
    }

    pub(crate) fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        let inverse = inverse_of_identity_plus(self.block.val())?;
        let columns = self.block_columns(weight.clone()) - self.tiled(&weight);
        Ok(self.weight(columns.matmul(inverse), weight.dims()))
    }

    /// `[in, out]` → `[in/r, out, r]`: the rows of every block of a block-column.
    fn block_columns(&self, weight: Tensor<B, 2>) -> Tensor<B, 3> {
        let [blocks, r, _] = self.block.dims();
        let d_output = weight.dims()[1];
        weight.reshape([blocks, r, d_output]).swap_dims(1, 2)
    }

    /// `B[k]` laid over every block of its column, shaped as
    /// [`block_columns`](Self::block_columns).
    fn tiled(&self, weight: &Tensor<B, 2>) -> Tensor<B, 3> {
        let r = self.block.dims()[1];
        self.block.val().repeat_dim(1, weight.dims()[1] / r)
    }

    fn weight(&self, columns: Tensor<B, 3>, shape: [usize; 2]) -> Tensor<B, 2> {
        columns.swap_dims(1, 2).reshape(shape)
    }
}
