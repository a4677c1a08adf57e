use super::Parts;
use super::method::{Build, Layer, Method, OnLayer};
use crate::backend::LoraTerm;
use crate::graph::cat;
use crate::{Backend, LoraConfig, LoraStart, Misfit, Variant, dropout};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};

mod module;
mod start;

pub use module::LoraRecord;
pub(crate) use module::{CONTAINER, INITIAL};
pub(crate) use start::decompose;

/// LoRA: `W' = W + s·(B·A − B₀·A₀)`. Only PiSSA and OLoRA have `B₀·A₀`.
///
/// Those two start from factors of the weight and train on the residual `W − s·B₀·A₀`. The weight
/// and the initial factors stay separate: the weight keeps the values of its file, half precision
/// loses nothing, and detaching the adapter restores the base.
///
/// Sources: *LoRA: Low-Rank Adaptation of Large Language Models*; *A Rank Stabilization Scaling
/// Factor for Fine-Tuning with LoRA* (the scale); *PiSSA: Principal Singular Values and Singular
/// Vectors Adaptation of Large Language Models*; *OLoRA: Orthonormal Low-Rank Adaptation of Large
/// Language Models*.
#[derive(Debug, Clone)]
pub struct Lora<B: Backend> {
    /// `A` `[r, in]` and `B` `[out, r]`.
    pub factors: Factors<B>,
    /// `A₀` and `B₀`, which never train.
    pub initial: Option<Factors<B>>,
    /// Scale and start.
    pub settings: LoraConfig,
    /// Dropout probability on the input of `A`.
    pub dropout: f64,
    pub(crate) salt: u64,
}

/// Two matrices of one product.
#[derive(Module, Debug)]
pub struct Factors<B: Backend> {
    /// `[r, in]`.
    pub lora_a: Param<Tensor<B, 2>>,
    /// `[out, r]`.
    pub lora_b: Param<Tensor<B, 2>>,
}

impl<B: Backend> Factors<B> {
    /// Computes `(B·A)ᵀ`, `[in, out]`.
    fn product(&self) -> Tensor<B, 2> {
        let a = self.lora_a.val().transpose();
        a.matmul(self.lora_b.val().transpose())
    }
}

/// Name of the first factor, `[r, in]`.
pub(crate) const LORA_A: &str = "lora_A";
/// Name of the second factor, `[out, r]`.
pub(crate) const LORA_B: &str = "lora_B";

impl Method for LoraConfig {
    fn name(&self) -> &'static str {
        match self.start {
            LoraStart::Random => "lora",
            LoraStart::Pissa(_) => "pissa",
            LoraStart::Olora => "olora",
        }
    }

    fn description(&self) -> String {
        let rslora = if self.rslora { ", rsLoRA" } else { "" };
        format!("{}, alpha {}{rslora}", self.name(), self.alpha)
    }

    fn tensor_names(&self) -> &'static [&'static str] {
        &[LORA_A, LORA_B]
    }

    fn shapes(
        &self,
        rank: usize,
        [d_input, d_output]: [Option<usize>; 2],
    ) -> Vec<Vec<Option<usize>>> {
        vec![vec![Some(rank), d_input], vec![d_output, Some(rank)]]
    }

    fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2] {
        [Some(shapes[0][1]), Some(shapes[1][0])]
    }

    fn check(&self, rank: usize, [d_input, d_output]: [usize; 2]) -> Result<(), Misfit> {
        let directions = d_input.min(d_output);
        if self.has_residual() && rank > directions {
            let name = self.name();
            let reason = format!(
                "the rank of {name} must be at most {directions} (the smaller width of the \
                 layer), not {rank}"
            );
            return Err(reason.into());
        }
        Ok(())
    }

    fn check_settings(&self) -> Result<(), String> {
        if self.alpha.is_finite() && self.alpha > 0.0 {
            return Ok(());
        }
        Err(format!("alpha must be greater than 0, not {}", self.alpha))
    }

    fn is_on_residual(&self) -> bool {
        self.has_residual()
    }

    fn start(&self, layer: &Layer<'_>) -> Result<Vec<TensorData>, String> {
        start::factors(self, layer).map(Vec::from)
    }

    fn saved(&self, rank: usize) -> Option<(Variant, usize)> {
        let doubled = || (Variant::Lora(self.doubled()), 2 * rank);
        self.has_residual().then(doubled)
    }

    fn is_lora_exactly(&self) -> bool {
        true
    }

    // On a residual, the frozen factors add one more forward and backward.
    fn step_operations(&self, rank: f64, n: f64, [d_input, d_output]: [f64; 2]) -> f64 {
        let products = if self.has_residual() { 5.0 } else { 3.0 };
        products * 2.0 * n * rank * (d_input + d_output)
    }
}

impl<B: Backend> Build<B> for Lora<B> {
    type Method = LoraConfig;

    fn of_parts(settings: LoraConfig, mut parts: Parts<B>) -> Self {
        Self {
            factors: Factors {
                lora_a: parts.trained(),
                lora_b: parts.trained(),
            },
            initial: settings.has_residual().then(|| Factors {
                lora_a: parts.frozen(),
                lora_b: parts.frozen(),
            }),
            settings,
            dropout: parts.dropout,
            salt: parts.salt,
        }
    }

    fn of_record(record: LoraRecord<B>) -> Self {
        let settings = record.settings();
        let factors = |record: FactorsRecord<B>| Factors {
            lora_a: record.lora_a,
            lora_b: record.lora_b,
        };
        Self {
            settings,
            factors: factors(record.factors),
            initial: record.initial.map(factors),
            dropout: 0.0,
            salt: 0,
        }
    }
}

impl<B: Backend> OnLayer<B> for Lora<B> {
    fn variant(&self) -> Variant {
        Variant::Lora(self.settings)
    }

    fn rank(&self) -> usize {
        self.factors.lora_a.dims()[0]
    }

    fn dtype(&self) -> DType {
        self.factors.lora_a.dtype()
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn set_dropout(&mut self, dropout: f64) {
        self.dropout = dropout;
    }

    fn forward(&self, x: Tensor<B, 2>, weight: Tensor<B, 2>, batch: usize) -> Tensor<B, 2> {
        let mask = dropout::mask(&x, batch, self.dropout, self.salt);
        let primitive = |tensor: Tensor<B, 2>| tensor.into_primitive().tensor();
        // An adapter on a residual is a LoRA of twice the rank whose halves cancel at first, up to
        // rounding. The frozen half sees all of `x`.
        let term = LoraTerm {
            factors: self.plain().map(primitive),
            scale: self.scale(),
            trained: self.rank(),
            mask: mask.map(primitive),
        };
        let output = B::lora_product(primitive(x), primitive(weight), term);
        Tensor::from_primitive(TensorPrimitive::Float(output))
    }

    fn merge(&self, weight: Tensor<B, 2>) -> Tensor<B, 2> {
        weight + self.delta()
    }

    fn unmerge(&self, weight: Tensor<B, 2>) -> Result<Tensor<B, 2>, String> {
        Ok(weight - self.delta())
    }

    fn saved_tensors(&self) -> Option<Vec<TensorData>> {
        Some(self.plain().map(Tensor::into_data).into())
    }
}

impl<B: Backend> Lora<B> {
    fn scale(&self) -> f64 {
        self.settings.scale(self.rank())
    }

    /// Computes `ΔW`, `[in, out]`.
    fn delta(&self) -> Tensor<B, 2> {
        let product = self.factors.product();
        let change = match &self.initial {
            None => product,
            Some(initial) => product - initial.product(),
        };
        change.mul_scalar(self.scale())
    }

    /// Returns the factors of a plain LoRA on the original weight: `A` and `B` of rank `r` or `2r`.
    /// On a residual, the initial factors are appended with `B₀` negated.
    fn plain(&self) -> [Tensor<B, 2>; 2] {
        let (a, b) = (self.factors.lora_a.val(), self.factors.lora_b.val());
        match &self.initial {
            None => [a, b],
            Some(initial) => [
                cat(vec![a, initial.lora_a.val()], 0),
                cat(vec![b, -initial.lora_b.val()], 1),
            ],
        }
    }
}
