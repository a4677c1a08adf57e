use super::Parts;
use super::method::{self, Build, OnLayer};
use super::miss::{lora_of_shards, product, tile_rows};
use crate::{Backend, Misfit, Variant, dropout};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};

/// Miss-mini: miss with `D[j,o] = M[j, o mod m]`, so `y = base(x) + tile(S·M)`.
#[derive(Module, Debug)]
pub struct MissMini<B: Backend> {
    /// `M`, `[r, m]`.
    pub block: Param<Tensor<B, 2>>,
    /// Dropout probability on the input of the shard sum.
    pub dropout: f64,
    pub(crate) salt: u64,
}

/// Miss-mini, independent of a layer.
pub(crate) struct Method {
    /// `m`.
    pub(super) width: usize,
}

impl method::Method for Method {
    fn name(&self) -> &'static str {
        "miss-mini"
    }

    fn description(&self) -> String {
        format!("miss-mini, width {}", self.width)
    }

    fn shapes(&self, rank: usize, _: [Option<usize>; 2]) -> Vec<Vec<Option<usize>>> {
        vec![vec![Some(rank), Some(self.width)]]
    }

    fn widths(&self, _: &[Vec<usize>]) -> [Option<usize>; 2] {
        [None, None]
    }

    fn check(&self, _rank: usize, [_, d_output]: [usize; 2]) -> Result<(), Misfit> {
        let width = self.width;
        if width == 0 || !d_output.is_multiple_of(width) {
            let reason =
                format!("miss-mini: the width {width} must divide the layer's {d_output} outputs");
            return Err(reason.into());
        }
        Ok(())
    }

    fn is_lora_exactly(&self) -> bool {
        true
    }

    fn to_lora(&self, tensors: &[TensorData], widths: [usize; 2]) -> Vec<TensorData> {
        lora_of_shards(&tensors[0], widths)
    }

    fn step_operations(&self, rank: f64, n: f64, _: [f64; 2]) -> f64 {
        3.0 * 2.0 * n * rank * self.width as f64
    }
}

impl<B: Backend> Build<B> for MissMini<B> {
    type Method = Method;

    fn of_parts(_: Method, mut parts: Parts<B>) -> Self {
        Self {
            block: parts.trained(),
            dropout: parts.dropout,
            salt: parts.salt,
        }
    }

    fn of_record(record: Self::Record) -> Self {
        Self {
            block: record.block,
            dropout: 0.0,
            salt: 0,
        }
    }
}

impl<B: Backend> OnLayer<B> for MissMini<B> {
    fn variant(&self) -> Variant {
        Variant::MissMini {
            width: self.block.dims()[1],
        }
    }

    fn rank(&self) -> usize {
        self.block.dims()[0]
    }

    fn dtype(&self) -> DType {
        self.block.dtype()
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn set_dropout(&mut self, dropout: f64) {
        self.dropout = dropout;
    }

    fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>, batch: usize) -> Tensor<B, 2> {
        let mask = dropout::mask(&x, batch, self.dropout, self.salt);
        product(x, weight, self.block.val(), mask)
    }

    fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        weight.clone() + self.delta(weight.dims())
    }

    fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        Ok(weight.clone() - self.delta(weight.dims()))
    }
}

impl<B: Backend> MissMini<B> {
    /// Computes `ΔW` of a layer of shape `[in, out]`.
    fn delta(&self, [d_input, d_output]: [usize; 2]) -> Tensor<B, 2> {
        let m = self.block.dims()[1];
        tile_rows(self.block.val().repeat_dim(1, d_output / m), d_input)
    }
}
