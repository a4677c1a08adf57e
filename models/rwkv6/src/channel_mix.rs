use crate::state::last;
use crate::token_mix::token_mix;
use crate::{Backend, Rwkv6Context, Rwkv6State};
use bone::BoneLinear;
use bone_lm::{Gate, gated};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// The feed-forward part: a token shift, then squared ReLU between two layers, with a gate.
#[derive(Module, Debug)]
pub struct ChannelMix<B: Backend> {
    /// Token shift of the keys, `[1, 1, hidden_size]`.
    pub time_maa_k: Param<Tensor<B, 3>>,
    /// Token shift of the receptance, `[1, 1, hidden_size]`.
    pub time_maa_r: Param<Tensor<B, 3>>,
    /// `hidden_size → intermediate_size`.
    pub key: BoneLinear<B>,
    /// `hidden_size → hidden_size`.
    pub receptance: BoneLinear<B>,
    /// `intermediate_size → hidden_size`.
    pub value: BoneLinear<B>,
}

impl<B: Backend> ChannelMix<B> {
    /// Applies the channel mix to a piece.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`; the output has the same shape
    pub fn forward(
        &self,
        hidden: Tensor<B, 3>,
        context: &Rwkv6Context<B>,
        state: &mut Rwkv6State<B>,
    ) -> Tensor<B, 3> {
        let x = context.clear(hidden);
        let before = state.ffn_shift.replace(last(&x));
        let [xk, xr] = token_mix(x, before, [&self.time_maa_k, &self.time_maa_r], None);
        let key = self.key.forward(xk);
        let key = gated(key.clone(), key, Gate::Relu);
        gated(
            self.receptance.forward(xr),
            self.value.forward(key),
            Gate::Sigmoid,
        )
    }
}
