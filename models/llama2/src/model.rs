use crate::{LlamaBlock, LlamaConfig, LlamaContext};
use bone::BoneLinear;
use bone_lm::{Backend, CausalLm, Part, RmsNorm, Span, compute_dtype};
use burn::module::Module;
use burn::nn::Embedding;
use burn::tensor::{Int, Tensor};

/// Everything except the head, under its name in checkpoints.
#[derive(Module, Debug)]
pub struct LlamaTrunk<B: Backend> {
    /// `[vocab_size, hidden_size]`.
    pub embed_tokens: Embedding<B>,
    /// The blocks.
    pub layers: Vec<LlamaBlock<B>>,
    /// Norm before the head.
    pub norm: RmsNorm<B>,
}

/// LLaMA2. Module paths are the names in checkpoints: `model.layers.0.self_attn.q_proj`.
#[derive(Module, Debug)]
pub struct Llama<B: Backend> {
    /// Everything except the head.
    pub model: LlamaTrunk<B>,
    /// `hidden_size → vocab_size`; `None` if the embedding is the head.
    pub lm_head: Option<BoneLinear<B>>,
    pub(crate) config: LlamaConfig,
}

impl<B: Backend> Llama<B> {
    /// Returns the model's dimensions.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }
}

impl<B: Backend> CausalLm<B> for Llama<B> {
    type Block = LlamaBlock<B>;

    fn embed(&self, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let hidden = self.model.embed_tokens.forward(tokens);
        let dtype = compute_dtype(hidden.dtype());
        hidden.cast(dtype)
    }

    fn blocks(&self) -> &[LlamaBlock<B>] {
        &self.model.layers
    }

    fn context(&self, span: &Span) -> LlamaContext<B> {
        let weight = &self.model.embed_tokens.weight;
        LlamaContext::new(
            &self.config,
            span,
            &weight.device(),
            compute_dtype(weight.dtype()),
        )
    }

    fn head(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        let hidden = self.model.norm.forward(hidden);
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => {
                let weight = self.model.embed_tokens.weight.val().transpose();
                let weight = weight.cast(hidden.dtype());
                burn::tensor::module::linear(hidden, weight, None)
            }
        }
    }

    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn part_of(&self, parameter: &str) -> Option<Part> {
        let mut names = parameter.rsplit('.');
        let (_, module) = (names.next(), names.next()?);
        match module {
            "embed_tokens" => Some(Part::Embedding),
            "lm_head" => Some(Part::Head),
            "norm" | "input_layernorm" | "post_attention_layernorm" => Some(Part::Norm),
            _ => None,
        }
    }
}
