use crate::{Backend, ChannelMix, Rwkv6Context, Rwkv6State, TimeMix};
use bone_lm::{Block, LayerNorm};
use burn::module::Module;
use burn::tensor::Tensor;

/// Time mix and channel mix, each after a norm and with a residual connection.
#[derive(Module, Debug)]
pub struct Rwkv6Block<B: Backend> {
    /// The embedding's norm, in block 0 only.
    pub ln0: Option<LayerNorm<B>>,
    /// Norm before the time mix.
    pub ln1: LayerNorm<B>,
    /// Norm before the channel mix.
    pub ln2: LayerNorm<B>,
    /// Time mix.
    pub att: TimeMix<B>,
    /// Channel mix.
    pub ffn: ChannelMix<B>,
}

impl<B: Backend> Block<B> for Rwkv6Block<B> {
    type Context = Rwkv6Context<B>;
    type State = Rwkv6State<B>;

    fn forward(
        &self,
        hidden: Tensor<B, 3>,
        context: &Self::Context,
        state: Option<&mut Self::State>,
    ) -> Tensor<B, 3> {
        let mut start = Rwkv6State::default();
        let state = state.unwrap_or(&mut start);
        let hidden = match &self.ln0 {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        };
        let normed = self.ln1.forward(hidden.clone());
        let hidden = hidden + self.att.forward(normed, context, state);
        let normed = self.ln2.forward(hidden.clone());
        hidden + self.ffn.forward(normed, context, state)
    }
}
