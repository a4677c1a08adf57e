//! The traits that every adapter implements in its own file.

use super::Parts;
use crate::{Backend, Misfit, Variant};
use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData};

/// Name of the one tensor of an adapter that has one.
pub(crate) const BLOCK: &str = "block";

/// An adapter independent of a layer. Functions of [`Variant`] with the same names document these.
pub(crate) trait Method {
    fn name(&self) -> &'static str;

    /// Returns the name with its settings, for messages.
    fn description(&self) -> String {
        self.name().into()
    }

    fn tensor_names(&self) -> &'static [&'static str] {
        &[BLOCK]
    }

    /// Returns the tensors' shapes on a layer of `[inputs, outputs]`. A size that depends on an
    /// unknown width is `None`.
    fn shapes(&self, rank: usize, widths: [Option<usize>; 2]) -> Vec<Vec<Option<usize>>>;

    /// Returns the layer's `[inputs, outputs]` as far as these tensor shapes determine them.
    fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2];

    /// Checks that an adapter of `rank`, above 0, fits a layer of `[inputs, outputs]`.
    fn check(&self, _rank: usize, _widths: [usize; 2]) -> Result<(), Misfit> {
        Ok(())
    }

    /// Checks the settings.
    fn check_settings(&self) -> Result<(), String> {
        Ok(())
    }

    fn has_dropout(&self) -> bool {
        true
    }

    /// Returns whether the factors belong to the residual of the weight instead of the weight
    /// itself. Such an adapter stores its initial factors beside its tensors.
    fn is_on_residual(&self) -> bool {
        false
    }

    /// Computes the tensors of a new adapter, which changes nothing yet.
    fn start(&self, layer: &Layer<'_>) -> Result<Vec<TensorData>, String> {
        let widths = [Some(layer.d_input), Some(layer.d_output)];
        let shapes = self.shapes(layer.rank, widths).into_iter();
        let zeros = shapes.map(|shape| {
            let shape: Vec<usize> = shape.into_iter().flatten().collect();
            TensorData::new(vec![0f32; shape.iter().product()], shape)
        });
        Ok(zeros.collect())
    }

    /// Returns the variant and rank that files hold instead, if they differ.
    fn saved(&self, _rank: usize) -> Option<(Variant, usize)> {
        None
    }

    fn is_lora_exactly(&self) -> bool {
        false
    }

    /// Returns `A` `[r, in]` and `B` `[out, r]` of the equivalent LoRA of scale 1 on a layer of
    /// `[inputs, outputs]`. Only for methods that are exactly a LoRA but not LoRA itself.
    fn to_lora(&self, tensors: &[TensorData], _widths: [usize; 2]) -> Vec<TensorData> {
        tensors.to_vec()
    }

    /// Returns the floating-point operations of the matrix products that the adapter adds to a
    /// training step of `n` tokens, forward and backward.
    fn step_operations(&self, rank: f64, n: f64, widths: [f64; 2]) -> f64;
}

/// The layer that a new adapter starts from.
pub(crate) struct Layer<'a> {
    pub(crate) rank: usize,
    pub(crate) d_input: usize,
    pub(crate) d_output: usize,
    /// The weight's values on the host, row-major `[in, out]` as burn holds it.
    pub(crate) weight: &'a dyn Fn() -> Vec<f32>,
    /// Seed of the random start.
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

    /// Sets the dropout probability, if the adapter has one.
    fn set_dropout(&mut self, _dropout: f64) {}

    /// Computes `x·W'ᵀ`. `x` is `[n, in]` in the adapter's precision, of `batch` rows; `weight` is
    /// `[in, out]`.
    fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>, batch: usize) -> Tensor<B, 2>;

    /// Computes `W'` from a `weight` `[in, out]` in the adapter's precision.
    fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2>;

    /// Computes `W` from a merged `weight` `[in, out]`.
    fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String>;

    /// Returns the tensors that files hold, if they differ from the trainable ones.
    fn saved_tensors(&self) -> Option<Vec<TensorData>> {
        None
    }
}

/// Constructors of an adapter.
pub(crate) trait Build<B: Backend>: Module<B> {
    type Method: Method;

    fn of_parts(method: Self::Method, parts: Parts<B>) -> Self;

    /// Makes the adapter from `record`, on a layer without one.
    fn of_record(record: Self::Record) -> Self;
}
