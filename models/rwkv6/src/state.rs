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

/// Each token's predecessor: `[batch, len, size]` → the same, moved on by one token. The first
/// token's is `before`, the last of the piece before, or zero.
pub(crate) fn previous<B: Backend>(x: &Tensor<B, 3>, before: Option<Tensor<B, 2>>) -> Tensor<B, 3> {
    let [batch, len, size] = x.dims();
    let first = match before {
        Some(before) => before.reshape([batch, 1, size]),
        None => Tensor::zeros([batch, 1, size], (&x.device(), x.dtype())),
    };
    if len == 1 {
        return first;
    }
    let rest = x.clone().slice([0..batch, 0..len - 1]);
    Tensor::cat(vec![first, rest], 1)
}

/// The last token: `[batch, len, size]` → `[batch, size]`.
pub(crate) fn last<B: Backend>(x: &Tensor<B, 3>) -> Tensor<B, 2> {
    let [batch, len, size] = x.dims();
    x.clone()
        .slice([0..batch, len - 1..len])
        .reshape([batch, size])
}
