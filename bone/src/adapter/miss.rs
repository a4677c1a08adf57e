use super::Parts;
use super::method::{self, Build, OnLayer};
use crate::{Backend, Variant, dropout};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};

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

/// Miss, independent of a layer.
pub(crate) struct Method;

impl method::Method for Method {
    fn name(&self) -> &'static str {
        "miss"
    }

    fn shapes(&self, rank: usize, [_, d_output]: [Option<usize>; 2]) -> Vec<Vec<Option<usize>>> {
        vec![vec![Some(rank), d_output]]
    }

    fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2] {
        [None, Some(shapes[0][1])]
    }

    fn is_lora_exactly(&self) -> bool {
        true
    }

    fn to_lora(&self, tensors: &[TensorData], widths: [usize; 2]) -> Vec<TensorData> {
        lora_of_shards(&tensors[0], widths)
    }

    fn step_operations(&self, rank: f64, n: f64, [_, d_output]: [f64; 2]) -> f64 {
        3.0 * 2.0 * n * rank * d_output
    }
}

/// Returns `A` and `B` with `A[j,i] = 1` where `i mod r = j`, and `B = Dᵀ`, where `D` is `block`
/// `[r, m]` repeated along the outputs.
pub(super) fn lora_of_shards(
    block: &TensorData,
    [d_input, d_output]: [usize; 2],
) -> Vec<TensorData> {
    let [rank, columns] = block.shape.dims();
    let values: Vec<f32> = block.iter::<f32>().collect();
    let mut a = vec![0f32; rank * d_input];
    (0..d_input).for_each(|i| a[i % rank * d_input + i] = 1.0);
    let b: Vec<f32> = (0..d_output)
        .flat_map(|o| (0..rank).map(move |j| (j, o)))
        .map(|(j, o)| values[j * columns + o % columns])
        .collect();
    vec![
        TensorData::new(a, [rank, d_input]),
        TensorData::new(b, [d_output, rank]),
    ]
}

impl<B: Backend> Build<B> for Miss<B> {
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

impl<B: Backend> OnLayer<B> for Miss<B> {
    fn variant(&self) -> Variant {
        Variant::Miss
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
        weight.clone() + self.delta(weight.dims()[0])
    }

    fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        Ok(weight.clone() - self.delta(weight.dims()[0]))
    }
}

impl<B: Backend> Miss<B> {
    /// Computes `ΔW` of a layer with `d_input` inputs, `[in, out]`.
    fn delta(&self, d_input: usize) -> Tensor<B, 2> {
        tile_rows(self.block.val(), d_input)
    }
}

/// Computes `x·W + tile(S·D)`, with `S` the shard sum of the masked `x`.
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

/// Repeats `[r, out]` downwards to `[d_input, out]` and cuts off the last copy.
pub(super) fn tile_rows<B: Backend>(block: Tensor<B, 2>, d_input: usize) -> Tensor<B, 2> {
    let [r, d_output] = block.dims();
    block
        .repeat_dim(0, d_input.div_ceil(r))
        .slice([0..d_input, 0..d_output])
}
