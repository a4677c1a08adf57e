use crate::Backend;
use bone_lm::{BlockState, append_rows};
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// The state that a block carries from one piece of a sequence to the next. The default is the
/// state at a sequence's start.
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

impl<B: Backend> BlockState<B> for Rwkv6State<B> {
    fn select_rows(&mut self, rows: &Tensor<B, 1, Int>) {
        fn keep<B: Backend, const D: usize>(
            tensor: &mut Option<Tensor<B, D>>,
            rows: &Tensor<B, 1, Int>,
        ) {
            *tensor = tensor.take().map(|tensor| tensor.select(0, rows.clone()));
        }
        keep(&mut self.att_shift, rows);
        keep(&mut self.wkv, rows);
        keep(&mut self.ffn_shift, rows);
    }

    fn append_rows(&mut self, other: Self) {
        append_rows(&mut self.att_shift, other.att_shift);
        append_rows(&mut self.wkv, other.wkv);
        append_rows(&mut self.ffn_shift, other.ffn_shift);
    }
}

/// Returns the last token: `[batch, len, size]` → `[batch, size]`.
pub(crate) fn last<B: Backend>(x: &Tensor<B, 3>) -> Tensor<B, 2> {
    let [batch, len, size] = x.dims();
    x.clone()
        .slice([0..batch, len - 1..len])
        .reshape([batch, size])
}

#[cfg(all(test, feature = "flex"))]
mod tests;
