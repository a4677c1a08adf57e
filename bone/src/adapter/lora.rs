use crate::backend::LoraTerm;
use crate::graph::cat;
use crate::{Backend, LoraConfig, dropout};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorPrimitive};

mod module;
pub(super) mod start;

pub use module::LoraRecord;
pub(crate) use module::{CONTAINER, INITIAL};
pub(crate) use start::decompose;

/// LoRA: `W' = W + s·(B·A − B₀·A₀)`, where `B₀·A₀` is there for PiSSA and OLoRA alone.
///
/// Those two start from factors of the weight and train on the residual `W − s·B₀·A₀`. It is kept
/// in its two parts, so that the weight stays as its file has it, nothing is rounded away in half
/// precision, and taking the adapter off leaves the base.
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
    /// `(B·A)ᵀ`, `[in, out]`.
    fn product(&self) -> Tensor<B, 2> {
        let a = self.lora_a.val().transpose();
        a.matmul(self.lora_b.val().transpose())
    }
}

impl<B: Backend> Lora<B> {
    /// `r`.
    pub(crate) fn rank(&self) -> usize {
        self.factors.lora_a.dims()[0]
    }

    fn scale(&self) -> f64 {
        self.settings.scale(self.rank())
    }

    pub(crate) fn forward(
        &self,
        x: Tensor<B, 2>,
        weight: Tensor<B, 2>,
        batch: usize,
    ) -> Tensor<B, 2> {
        let mask = dropout::mask(&x, batch, self.dropout, self.salt);
        let primitive = |tensor: Tensor<B, 2>| tensor.into_primitive().tensor();
        // On a residual it is a LoRA of twice the rank: at first its halves cancel, to rounding. What
        // does not train sees all of `x`.
        let term = LoraTerm {
            factors: self.plain().map(primitive),
            scale: self.scale(),
            trained: self.rank(),
            mask: mask.map(primitive),
        };
        let output = B::lora_product(primitive(x), primitive(weight), term);
        Tensor::from_primitive(TensorPrimitive::Float(output))
    }

    /// `ΔW`, `[in, out]`.
    pub(crate) fn delta(&self) -> Tensor<B, 2> {
        let product = self.factors.product();
        let change = match &self.initial {
            None => product,
            Some(initial) => product - initial.product(),
        };
        change.mul_scalar(self.scale())
    }

    /// The factors that a plain LoRA on the untouched weight has: these, and those of the start
    /// with `B₀` negated beside them. As `A` and `B` of rank `r` or `2r`.
    pub(crate) fn plain(&self) -> [Tensor<B, 2>; 2] {
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
