use crate::{Backend, Form, Rwkv6Block, Rwkv6Config, Rwkv6Context};
use bone::BoneLinear;
use bone_lm::{CausalLm, LayerNorm, Part, Span, compute_dtype};
use burn::module::{Module, Param, ParamId};
use burn::nn::Embedding;
use burn::tensor::{DType, Int, Tensor};

/// RWKV6. Module paths are the names in RWKV's checkpoints: `blocks.0.att.key`.
#[derive(Module, Debug)]
pub struct Rwkv6<B: Backend> {
    /// `[vocab_size, hidden_size]`.
    pub emb: Embedding<B>,
    /// The blocks.
    pub blocks: Vec<Rwkv6Block<B>>,
    /// Norm before the head.
    pub ln_out: LayerNorm<B>,
    /// `hidden_size → vocab_size`.
    pub head: BoneLinear<B>,
    #[module(skip)]
    pub(crate) config: Rwkv6Config,
}

impl<B: Backend> Rwkv6<B> {
    /// Returns the model's dimensions.
    pub fn config(&self) -> &Rwkv6Config {
        &self.config
    }

    /// Forces how the wkv6 recurrence is computed; `None` chooses by backend and shape.
    pub fn with_wkv6_form(mut self, form: Option<Form>) -> Self {
        for block in &mut self.blocks {
            block.att.form = form;
        }
        self
    }
}

impl<B: Backend> CausalLm<B> for Rwkv6<B> {
    type Block = Rwkv6Block<B>;

    fn embed(&self, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let hidden = self.emb.forward(tokens);
        let dtype = compute_dtype(hidden.dtype());
        hidden.cast(dtype)
    }

    fn blocks(&self) -> &[Rwkv6Block<B>] {
        &self.blocks
    }

    fn context(&self, span: &Span) -> Rwkv6Context<B> {
        Rwkv6Context::new(span, &self.emb.weight.device())
    }

    fn head(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        self.head.forward(self.ln_out.forward(hidden))
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn part_of(&self, parameter: &str) -> Option<Part> {
        let parts: Vec<_> = parameter.split('.').collect();
        let is_norm = |name: &&str| name.starts_with("ln");
        match parts.as_slice() {
            ["emb", ..] => Some(Part::Embedding),
            ["head", ..] => Some(Part::Head),
            // State tuning is a separate method.
            [.., "time_state"] => None,
            [.., last] if last.starts_with("time_") => Some(Part::Time),
            names if names.iter().any(is_norm) => Some(Part::Norm),
            _ => None,
        }
    }

    fn with_initial_state(mut self) -> Option<Self> {
        let (heads, size) = (self.config.num_heads(), self.config.head_size);
        for block in &mut self.blocks {
            let att = &mut block.att;
            if att.time_state.is_some() {
                continue;
            }
            let dtype = match compute_dtype(att.time_faaaa.dtype()) {
                DType::F64 => DType::F64,
                _ => DType::F32,
            };
            let device = att.time_faaaa.device();
            let zero = Tensor::zeros([heads, size, size], (&device, dtype));
            att.time_state = Some(Param::initialized(ParamId::new(), zero));
        }
        self.config.initial_state = true;
        Some(self)
    }
}
