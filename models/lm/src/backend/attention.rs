//! Attention in ordinary tensor operations.

use super::reference::{primitive, tensor};
use super::{AttentionGrads, Backend};
use crate::{Window, softmax};
use burn::tensor::Tensor;
use burn::tensor::ops::FloatTensor;

/// Repeats each head of keys or values for every query head of its group.
pub(crate) fn to_query_heads<B: Backend>(x: Tensor<B, 4>, heads: usize) -> Tensor<B, 4> {
    let [batch, kv_heads, len, width] = x.dims();
    let group = heads / kv_heads;
    if group == 1 {
        return x;
    }
    x.reshape([batch, kv_heads, 1, len, width])
        .expand([batch, kv_heads, group, len, width])
        .reshape([batch, heads, len, width])
}

/// Sums over the query heads of each group, the inverse of the repetition.
fn of_groups<B: Backend>(x: Tensor<B, 4>, kv_heads: usize) -> Tensor<B, 4> {
    let [batch, heads, len, width] = x.dims();
    x.reshape([batch, kv_heads, heads / kv_heads, len, width])
        .sum_dim(2)
        .reshape([batch, kv_heads, len, width])
}

/// Computes the scores, minus infinity for hidden keys: `[batch, heads, len, keys]`.
fn scores<B: Backend>(query: Tensor<B, 4>, key: Tensor<B, 4>, window: &Window) -> Tensor<B, 4> {
    let ([batch, heads, len, width], keys) = (query.dims(), key.dims()[2]);
    let hidden = window.hidden([len, keys], &query.device());
    let hidden = hidden.expand([batch, heads, len, keys]);
    let scores = query.matmul(key.swap_dims(2, 3)) / (width as f64).sqrt();
    scores.mask_fill(hidden, f32::NEG_INFINITY)
}

/// Computes the reference result of [`Backend::windowed_attention`].
pub fn forward<B: Backend>(inputs: [FloatTensor<B>; 3], window: &Window) -> FloatTensor<B> {
    let [q, k, v] = inputs.map(tensor::<B, 4>);
    let heads = q.dims()[1];
    let weights = softmax(scores(q, to_query_heads(k, heads), window));
    primitive(weights.matmul(to_query_heads(v, heads)))
}

/// Computes the reference result of [`Backend::windowed_attention_backward`].
pub fn backward<B: Backend>(
    inputs: [FloatTensor<B>; 3],
    grad: FloatTensor<B>,
    window: &Window,
) -> AttentionGrads<FloatTensor<B>> {
    let ([q, k, v], grad) = (inputs.map(tensor::<B, 4>), tensor::<B, 4>(grad));
    let ([_, heads, _, width], kv_heads) = (q.dims(), k.dims()[1]);
    let [k, v] = [k, v].map(|x| to_query_heads(x, heads));
    let weights = softmax(scores(q.clone(), k.clone(), window));
    let of_value = weights.clone().swap_dims(2, 3).matmul(grad.clone());
    let of_weights = grad.matmul(v.swap_dims(2, 3));
    let along = (weights.clone() * of_weights.clone()).sum_dim(3);
    let of_scores = weights * (of_weights - along) / (width as f64).sqrt();
    AttentionGrads {
        query: primitive(of_scores.clone().matmul(k)),
        key: primitive(of_groups(of_scores.swap_dims(2, 3).matmul(q), kv_heads)),
        value: primitive(of_groups(of_value, kv_heads)),
    }
}
