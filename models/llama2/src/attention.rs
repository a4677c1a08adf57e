use crate::{KeyValueCache, LlamaConfig, LlamaContext};
use bone::BoneLinear;
use bone_lm::{Backend, attention};
use burn::module::Module;
use burn::tensor::Tensor;

/// Grouped-query self-attention with rotary positions.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    /// Queries, `hidden_size → heads · head_dim`.
    pub q_proj: BoneLinear<B>,
    /// Keys, `hidden_size → kv_heads · head_dim`.
    pub k_proj: BoneLinear<B>,
    /// Values, `hidden_size → kv_heads · head_dim`.
    pub v_proj: BoneLinear<B>,
    /// Output, `heads · head_dim → hidden_size`.
    pub o_proj: BoneLinear<B>,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl<B: Backend> Attention<B> {
    pub(crate) fn new(config: &LlamaConfig, [q, k, v, o]: [BoneLinear<B>; 4]) -> Self {
        Self {
            q_proj: q,
            k_proj: k,
            v_proj: v,
            o_proj: o,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
        }
    }

    /// Computes the attention of a piece.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`; the output has the same shape
    pub fn forward(
        &self,
        hidden: Tensor<B, 3>,
        context: &LlamaContext<B>,
        cache: Option<&mut KeyValueCache<B>>,
    ) -> Tensor<B, 3> {
        let [batch, len, _] = hidden.dims();
        let split = |x: Tensor<B, 3>, heads: usize| {
            x.reshape([batch, len, heads, self.head_dim])
                .swap_dims(1, 2)
        };
        let query = split(self.q_proj.forward(hidden.clone()), self.heads);
        let key = split(self.k_proj.forward(hidden.clone()), self.kv_heads);
        let value = split(self.v_proj.forward(hidden), self.kv_heads);
        let query = context.rotate(query);
        let key = context.rotate(key);
        let (key, value) = match cache {
            Some(cache) => cache.extend(key, value),
            None => (key, value),
        };
        let mixed = attention(query, key, value, &context.sight);
        let mixed = mixed
            .swap_dims(1, 2)
            .reshape([batch, len, self.heads * self.head_dim]);
        self.o_proj.forward(mixed)
    }
}
