use crate::{KeyValueCache, LlamaConfig, LlamaContext};
use bone::BoneLinear;
use bone_lm::{Backend, attention};
use burn::module::Module;
use burn::tensor::{Tensor, module};

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

    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`, and so the output
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
        let mixed = if len == 1 {
            self.attend_from_one(query, key, value, context)
        } else {
            let shape = [batch, self.heads, len, key.dims()[2]];
            let mask = context.mask.clone().map(|mask| mask.expand(shape));
            attention(
                query,
                self.to_query_heads(key),
                self.to_query_heads(value),
                mask,
            )
        };
        let mixed = mixed
            .swap_dims(1, 2)
            .reshape([batch, len, self.heads * self.head_dim]);
        self.o_proj.forward(mixed)
    }

    /// Attention of a single token: the query heads of a group are as many queries to its keys,
    /// which need not be repeated.
    ///
    /// # Shapes
    ///
    /// - query: `[batch, heads, 1, head_dim]`, and so the output
    /// - key, value: `[batch, kv_heads, keys, head_dim]`
    fn attend_from_one(
        &self,
        query: Tensor<B, 4>,
        key: Tensor<B, 4>,
        value: Tensor<B, 4>,
        context: &LlamaContext<B>,
    ) -> Tensor<B, 4> {
        let [batch, heads, len, width] = query.dims();
        let [_, kv_heads, keys, _] = key.dims();
        let group = heads / kv_heads;
        let mask = context.mask.clone();
        let mask = mask.map(|mask| mask.expand([batch, kv_heads, group, keys]));
        let query = query.reshape([batch, kv_heads, group, width]);
        module::attention(query, key, value, mask, None, Default::default())
            .reshape([batch, heads, len, width])
    }

    /// Repeats each key or value head for the query heads of its group.
    fn to_query_heads(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let group = self.heads / self.kv_heads;
        if group == 1 {
            return x;
        }
        let [batch, kv_heads, len, width] = x.dims();
        x.reshape([batch, kv_heads, 1, len, width])
            .expand([batch, kv_heads, group, len, width])
            .reshape([batch, kv_heads * group, len, width])
    }
}
