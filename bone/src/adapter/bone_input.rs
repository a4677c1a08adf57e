use super::Parts;
use super::bone::divides;
use super::inverse::inverse_of_identity_plus;
use super::method::{self, Build, OnLayer};
use crate::{Backend, BlockAxis, Misfit, Variant};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorPrimitive};

/// Bone on the input axis: `W'[o,k] = W[o,k] + W[o,k]·B[k] + B[k]`.
///
/// The forward never forms `W'`; see [`Backend::bone_input_product`].
#[derive(Module, Debug)]
pub struct BoneInput<B: Backend> {
    /// `B`, `[in/r, r, r]`.
    pub block: Param<Tensor<B, 3>>,
}

/// Bone on the input axis, independent of a layer.
pub(crate) struct Method;

impl method::Method for Method {
    fn name(&self) -> &'static str {
        "bone-input"
    }

    fn description(&self) -> String {
        "bone on the input axis".into()
    }

    fn shapes(&self, rank: usize, [d_input, _]: [Option<usize>; 2]) -> Vec<Vec<Option<usize>>> {
        let blocks = d_input.map(|d_input| d_input / rank);
        vec![vec![blocks, Some(rank), Some(rank)]]
    }

    fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2] {
        [Some(shapes[0][0] * shapes[0][1]), None]
    }

    fn check(&self, rank: usize, widths: [usize; 2]) -> Result<(), Misfit> {
        divides(rank, widths)
    }

    fn has_dropout(&self) -> bool {
        false
    }

    fn step_operations(&self, rank: f64, n: f64, [d_input, _]: [f64; 2]) -> f64 {
        3.0 * 2.0 * n * rank * d_input
    }
}

impl<B: Backend> Build<B> for BoneInput<B> {
    type Method = Method;

    fn of_parts(_: Method, mut parts: Parts<B>) -> Self {
        Self {
            block: parts.trained(),
        }
    }

    fn of_record(record: Self::Record) -> Self {
        Self {
            block: record.block,
        }
    }
}

impl<B: Backend> OnLayer<B> for BoneInput<B> {
    fn variant(&self) -> Variant {
        Variant::Bone(BlockAxis::Input)
    }

    fn rank(&self) -> usize {
        self.block.dims()[2]
    }

    fn dtype(&self) -> DType {
        self.block.dtype()
    }

    fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>, _batch: usize) -> Tensor<B, 2> {
        Tensor::from_primitive(TensorPrimitive::Float(B::bone_input_product(
            x.into_primitive().tensor(),
            weight.into_primitive().tensor(),
            self.block.val().into_primitive().tensor(),
        )))
    }

    fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        let columns = self.block_columns(weight.clone());
        let product = columns.clone().matmul(self.block.val());
        self.weight(columns + product + self.tiled(&weight), weight.dims())
    }

    fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        let inverse = inverse_of_identity_plus(self.block.val())?;
        let columns = self.block_columns(weight.clone()) - self.tiled(&weight);
        Ok(self.weight(columns.matmul(inverse), weight.dims()))
    }
}

impl<B: Backend> BoneInput<B> {
    /// Reshapes `[in, out]` to `[in/r, out, r]`: the rows of every block of a block-column.
    fn block_columns(&self, weight: Tensor<B, 2>) -> Tensor<B, 3> {
        let [blocks, r, _] = self.block.dims();
        let d_output = weight.dims()[1];
        weight.reshape([blocks, r, d_output]).swap_dims(1, 2)
    }

    /// Repeats `B[k]` over every block of its column, in the shape of
    /// [`block_columns`](Self::block_columns).
    fn tiled(&self, weight: &Tensor<B, 2>) -> Tensor<B, 3> {
        let r = self.block.dims()[1];
        self.block.val().repeat_dim(1, weight.dims()[1] / r)
    }

    fn weight(&self, columns: Tensor<B, 3>, shape: [usize; 2]) -> Tensor<B, 2> {
        columns.swap_dims(1, 2).reshape(shape)
    }
}
