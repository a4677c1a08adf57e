use crate::{Attention, KeyValueCache, LlamaContext};
use bone::BoneLinear;
use bone_lm::{Backend, Block, Gate, RmsNorm, gated};
use burn::module::Module;
use burn::tensor::Tensor;

/// SwiGLU feed-forward: `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// `hidden_size → intermediate_size`.
    pub gate_proj: BoneLinear<B>,
    /// `hidden_size → intermediate_size`.
    pub up_proj: BoneLinear<B>,
    /// `intermediate_size → hidden_size`.
    pub down_proj: BoneLinear<B>,
}

impl<B: Backend> Mlp<B> {
    /// Applies the feed-forward part.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`; the output has the same shape
    pub fn forward(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        let gate = self.gate_proj.forward(hidden.clone());
        let hidden = gated(gate, self.up_proj.forward(hidden), Gate::Silu);
        self.down_proj.forward(hidden)
    }
}

/// Attention and feed-forward, each after a norm and with a residual connection.
#[derive(Module, Debug)]
pub struct LlamaBlock<B: Backend> {
    /// Norm before the attention.
    pub input_layernorm: RmsNorm<B>,
    /// Attention.
    pub self_attn: Attention<B>,
    /// Norm before the feed-forward part.
    pub post_attention_layernorm: RmsNorm<B>,
    /// Feed-forward part.
    pub mlp: Mlp<B>,
}

impl<B: Backend> Block<B> for LlamaBlock<B> {
    type Context = LlamaContext<B>;
    type State = KeyValueCache<B>;

    fn forward(
        &self,
        hidden: Tensor<B, 3>,
        context: &Self::Context,
        state: Option<&mut Self::State>,
    ) -> Tensor<B, 3> {
        let normed = self.input_layernorm.forward(hidden.clone());
        let hidden = hidden + self.self_attn.forward(normed, context, state);
        let normed = self.post_attention_layernorm.forward(hidden.clone());
        hidden + self.mlp.forward(normed)
    }
}
