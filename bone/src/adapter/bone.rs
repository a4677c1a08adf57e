use super::Parts;
use super::inverse::inverse_of_identity_plus;
use super::method::{self, Build, OnLayer};
use crate::{Backend, BlockAxis, Misfit, Variant};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorPrimitive};

/// Bone on the output axis: `W'[o,k] = W[o,k] + W[o,k]·B[o] + B[o]`.
///
/// Source: *Bone: Block Affine Transformation as Parameter Efficient Fine-tuning Methods for
/// Large Language Models*, first version.
#[derive(Module, Debug)]
pub struct Bone<B: Backend> {
    /// `B`, `[out/r, r, r]`.
    pub block: Param<Tensor<B, 3>>,
}

/// Bone on the output axis, independent of a layer.
pub(crate) struct Method;

impl method::Method for Method {
    fn name(&self) -> &'static str {
        "bone"
    }

    fn description(&self) -> String {
        "bone on the output axis".into()
    }

    fn shapes(&self, rank: usize, [_, d_output]: [Option<usize>; 2]) -> Vec<Vec<Option<usize>>> {
        let blocks = d_output.map(|d_output| d_output / rank);
        vec![vec![blocks, Some(rank), Some(rank)]]
    }

    fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2] {
        [None, Some(shapes[0][0] * shapes[0][1])]
    }

    fn check(&self, rank: usize, widths: [usize; 2]) -> Result<(), Misfit> {
        divides(rank, widths)
    }

    fn has_dropout(&self) -> bool {
        false
    }

    // The weight-shaped dyᵀx, W·B forward and again backward, and Wᵀ·G.
    fn step_operations(&self, rank: f64, n: f64, [d_input, d_output]: [f64; 2]) -> f64 {
        2.0 * n * d_input * d_output + 3.0 * 2.0 * d_input * d_output * rank
    }
}

/// Checks that a block size divides both widths.
///
/// # Errors
///
/// [`Misfit`] names the widths that it does not divide.
pub(super) fn divides(rank: usize, [d_input, d_output]: [usize; 2]) -> Result<(), Misfit> {
    let odd: Vec<_> = [("inputs", d_input), ("outputs", d_output)]
        .into_iter()
        .filter(|(_, size)| size % rank != 0)
        .map(|(name, size)| format!("its {size} {name}"))
        .collect();
    if odd.is_empty() {
        return Ok(());
    }
    let odd = odd.join(" and ");
    Err(Misfit::Rank { rank, odd })
}

impl<B: Backend> Build<B> for Bone<B> {
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

impl<B: Backend> OnLayer<B> for Bone<B> {
    fn variant(&self) -> Variant {
        Variant::Bone(BlockAxis::Output)
    }

    fn rank(&self) -> usize {
        self.block.dims()[2]
    }

    fn dtype(&self) -> DType {
        self.block.dtype()
    }

    fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>, _batch: usize) -> Tensor<B, 2> {
        Tensor::from_primitive(TensorPrimitive::Float(B::bone_output_product(
            x.into_primitive().tensor(),
            weight.into_primitive().tensor(),
            self.block.val().into_primitive().tensor(),
        )))
    }

    fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        let block = self.block.val();
        let rows = self.block_rows(weight.clone());
        let product = rows.clone().matmul(block);
        self.weight(rows + product + self.tiled(&weight), weight.dims())
    }

    fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        let inverse = inverse_of_identity_plus(self.block.val())?;
        let rows = self.block_rows(weight.clone()) - self.tiled(&weight);
        Ok(self.weight(rows.matmul(inverse), weight.dims()))
    }
}

impl<B: Backend> Bone<B> {
    /// Reshapes `[in, out]` to `[out/r, r·in/r, r]`: the rows of every block of a block-row.
    fn block_rows(&self, weight: Tensor<B, 2>) -> Tensor<B, 3> {
        let [blocks, r, _] = self.block.dims();
        let d_input = weight.dims()[0];
        weight.transpose().reshape([blocks, d_input, r])
    }

    /// Repeats `B[o]` over every block of its block-row, in the shape of
    /// [`block_rows`](Self::block_rows).
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
