use super::{LARGEST_DECAY, Wkv6, unbind};
use crate::Backend;
use bone::graph::cat;
use burn::tensor::Tensor;

/// Computes the definition, token by token.
pub(super) fn wkv6<B: Backend>(inputs: Wkv6<B>) -> (Tensor<B, 3>, Tensor<B, 4>) {
    let [batch, _, width] = inputs.receptance.dims();
    let [heads, size] = inputs.bonus.dims();
    let mut state = inputs.first_state();
    let column = |row: Tensor<B, 3>| row.reshape([batch, heads, size, 1]);
    let bonus = inputs.bonus.reshape([1, heads, size, 1]);
    let decay = inputs.decay.clamp_max(LARGEST_DECAY).exp().neg().exp();
    let rows = unbind(inputs.receptance, 1)
        .into_iter()
        .zip(unbind(inputs.key, 1))
        .zip(unbind(inputs.value, 1))
        .zip(unbind(decay, 1));
    let mut output = Vec::new();
    for (((r, k), v), d) in rows {
        let kv = column(k) * v.reshape([batch, heads, 1, size]);
        let seen = state.clone() + bonus.clone() * kv.clone();
        let y = (column(r) * seen).sum_dim(2);
        output.push(y.reshape([batch, 1, width]));
        state = column(d) * state + kv;
    }
    (cat(output, 1), state)
}
