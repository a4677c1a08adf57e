//! What the rest asks of an adapter. Each implements these in its own file.

use super::Parts;
use crate::{Backend, Misfit, Variant};
use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData};

/// Name of the one tensor of an adapter that has one.
pub(crate) const BLOCK: &str = "block";

/// An adapter apart from any layer. The functions of [`Variant`] that have the same names say what
/// these are.
pub(crate) trait Method {
    fn name(&self) -> &'static str;

    /// The name with its settings, for messages.
    fn description(&self) -> String {
        self.name().into()
    }

    fn tensor_names(&self) -> &'static [&'static str] {
        &[BLOCK]
    }

    /// The tensors' shapes on a layer of `[inputs, outputs]`; sizes that hang on a width that is not
    /// known are `None`.
    fn shapes(&self, rank: usize, widths: [Option<usize>; 2]) -> Vec<Vec<Option<usize>>>;

    /// `[inputs, outputs]` of the layer that tensors of these shapes are for, as far as they tell.
    fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2];

    /// What keeps an adapter of `rank`, above 0, off a layer of `[inputs, outputs]`.
    fn check(&self, _rank: usize, _widths: [usize; 2]) -> Result<(), Misfit> {
        Ok(())
    }

    /// What is wrong with its settings.
    fn check_settings(&self) -> Result<(), String> {
        Ok(())
    }

    fn has_dropout(&self) -> bool {
        true
    }

    /// Whether it belongs to what its start left of the weight, and not to the weight itself. What
    /// it started as is kept beside its tensors then.
    fn is_on_residual(&self) -> bool {
        false
    }

    /// The tensors of a new adapter, which changes nothing yet.
    fn start(&self, layer: &Layer<'_>) -> Result<Vec<TensorData>, String> {
        let widths = [Some(layer.d_input), Some(layer.d_output)];
        let shapes = self.shapes(layer.rank, widths).into_iter();
        let zeros = shapes.map(|shape| {
            let shape: Vec<usize> = shape.into_iter().flatten().collect();
            TensorData::new(vec![0f32; shape.iter().product()], shape)
        });
        Ok(zeros.collect())
    }

    /// Variant and rank of what files hold in its place.
    fn saved(&self, _rank: usize) -> Option<(Variant, usize)> {
        None
    }

    fn is_lora_exactly(&self) -> bool {
        false
    }

    /// `A` `[r, in]` and `B` `[out, r]` of the LoRA of scale 1 that tensors on a layer of `[inputs,
    /// outputs]` are, of a method that is one exactly and is not LoRA itself.
    fn to_lora(&self, tensors: &[TensorData], _widths: [usize; 2]) -> Vec<TensorData> {
        tensors.to_vec()
    }

    /// Floating-point operations of matrix products that it adds to a training step of `n` tokens,
    /// forward and backward.
    fn step_operations(&self, rank: f64, n: f64, widths: [f64; 2]) -> f64;
}

/// What a new adapter starts from.
pub(crate) struct Layer<'a> {
    pub(crate) rank: usize,
    pub(crate) d_input: usize,
    pub(crate) d_output: usize,
    /// The weight's values on the host, row-major `[in, out]` as burn holds it.
    pub(crate) weight: &'a dyn Fn() -> Vec<f32>,
    /// Of whatever is random.
    pub(crate) seed: u64,
}

/// An adapter on a layer.
pub(crate) trait OnLayer<B: Backend> {
    fn variant(&self) -> Variant;

    fn rank(&self) -> usize;

    fn dtype(&self) -> DType;

    fn dropout(&self) -> f64 {
        0.0
    }

    /// Sets the dropout probability, where it has one.
    fn set_dropout(&mut self, _dropout: f64) {}

    /// `x·W'ᵀ`. `x` is `[n, in]` in the adapter's precision, of `batch` rows; `weight` is
    /// `[in, out]`.
    fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>, batch: usize) -> Tensor<B, 2>;

    /// `W'` for a `weight` `[in, out]` in the adapter's precision.
    fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2>;

    /// `W` for a merged `weight` `[in, out]`.
    fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String>;

    /// The tensors that files hold, where they are not those that train.
    fn saved_tensors(&self) -> Option<Vec<TensorData>> {
        None
    }
}

/// How an adapter is made.
pub(crate) trait Build<B: Backend>: Module<B> {
    type Method: Method;

    fn of_parts(method: Self::Method, parts: Parts<B>) -> Self;

    /// The adapter that `record` is, on a layer without one.
    fn of_record(record: Self::Record) -> Self;
}
