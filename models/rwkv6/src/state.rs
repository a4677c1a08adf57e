use crate::Backend;
use burn::module::Module;
use burn::tensor::Tensor;

/// What a block carries from one piece of a sequence to the next. The default is the start of
/// a sequence.
#[derive(Module, Debug)]
pub struct Rwkv6State<B: Backend> {
    /// The time mix's input at the last token, `[batch, hidden_size]`.
    pub att_shift: Option<Tensor<B, 2>>,
    /// The recurrence's state, `[batch, heads, head_size (key), head_size (value)]`.
    pub wkv: Option<Tensor<B, 4>>,
    /// The channel mix's input at the last token, `[batch, hidden_size]`.
    pub ffn_shift: Option<Tensor<B, 2>>,
}

impl<B: Backend> Default for Rwkv6State<B> {
    fn default() -> Self {
        Self {
            att_shift: None,
            wkv: None,
            ffn_shift: None,
        }
    }
}

/// The last token: `[batch, len, size]` → `[batch, size]`.
pub(crate) fn last<B: Backend>(x: &Tensor<B, 3>) -> Tensor<B, 2> {
    let [batch, len, size] = x.dims();
    x.clone()
        .slice([0..batch, len - 1..len])
        .reshape([batch, size])
}
