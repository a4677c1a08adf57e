//! The sizes of models and runs that memory follows from.

/// What a block holds under autodiff beside its weights, in floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivationShape {
    /// Kept of each token from the forward to the backward.
    pub kept: f64,
    /// Kept of each pair of a token and one it looks at.
    pub kept_of_pair: f64,
    /// Held for a moment in the backward, of each token.
    pub passing: f64,
    /// The same of each pair.
    pub passing_of_pair: f64,
    /// Carried from one piece of a sequence to the next, of each sequence.
    pub carried: f64,
    /// The same of each token before the piece.
    pub carried_of_token: f64,
}

impl ActivationShape {
    /// A LLaMA block: `hidden_size` is the wider of the residual stream and all heads side by
    /// side. Keys and values are carried.
    ///
    /// Kept of each token, in hidden sizes: the inputs of the norms and what they divide by, queries,
    /// keys and values before and after rotation, the heads' result, and both residual sums. In
    /// intermediate sizes: gate, up, the activation and its derivative's parts, the product. Of the
    /// `[heads, seq, seq]` scores: raw, masked, after the softmax.
    pub const fn llama(hidden_size: usize, intermediate_size: usize, heads: usize) -> Self {
        let (hidden, intermediate) = (hidden_size as f64, intermediate_size as f64);
        Self {
            kept: 10.0 * hidden + 6.0 * intermediate,
            kept_of_pair: 3.0 * heads as f64,
            passing: 4.0 * hidden + 3.0 * intermediate,
            passing_of_pair: 2.0 * heads as f64,
            carried: 0.0,
            carried_of_token: 2.0 * hidden,
        }
    }

    /// An RWKV6 block. Two shifted tokens and a `[head_size, head_size]` state a head are carried.
    ///
    /// Kept of each token, in hidden sizes: two shifts and their differences, the six mixed inputs with
    /// what they are mixed by, r, k, v, gate and decay with the decay's two exponentials, the wkv's
    /// result, its norm, and both residual sums. In widths of the feed-forward part: the key, its relu
    /// and its square, with their derivatives' parts.
    pub const fn rwkv6(hidden_size: usize, intermediate_size: usize, head_size: usize) -> Self {
        let (hidden, intermediate) = (hidden_size as f64, intermediate_size as f64);
        Self {
            kept: 45.0 * hidden + 5.0 * intermediate,
            kept_of_pair: 0.0,
            passing: 12.0 * hidden + 2.0 * intermediate,
            passing_of_pair: 0.0,
            carried: hidden * (2.0 + head_size as f64),
            carried_of_token: 0.0,
        }
    }
}

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelShape {
    /// Parameters in all, a tied embedding once.
    pub parameters: usize,
    /// Parameters of the largest block.
    pub block_parameters: usize,
    /// Width of the residual stream, or of all heads side by side where that is wider.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// What a block holds beside its weights.
    pub activations: ActivationShape,
}

impl ModelShape {
    /// Parameters of the head, and of the embedding.
    pub(super) fn head(&self) -> f64 {
        self.vocab_size as f64 * self.hidden_size as f64
    }
}

/// What of a run decides the memory it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunShape {
    /// Parameters that train.
    pub trainable_parameters: usize,
    /// Whether those are parameters of the base, as in full fine-tuning, and no adapters.
    pub trains_base: bool,
    /// Bytes of a base parameter as it is held.
    pub base_bytes_per_parameter: usize,
    /// The half precision that the device can hold a base in, by the name users type.
    pub half_precision: Option<&'static str>,
    /// Rows of a micro batch.
    pub batch_size: usize,
    /// Longest sequence in tokens.
    pub max_seq_len: usize,
    /// Tokens of the pieces a sequence is trained in; `None` for whole sequences.
    pub chunk_ctx: Option<usize>,
    /// Whether blocks are run again in the backward.
    pub recompute: bool,
    /// Whether logits are computed by chunks of tokens.
    pub chunked_head: bool,
    /// Tokens of such a chunk.
    pub head_chunk: usize,
    /// Whether the backend makes attention a tile of scores at a time: then all of them never exist.
    pub tiles: bool,
    /// Whether a product with a half-precision weight casts all of it, and not a panel at a time.
    pub casts: bool,
}

impl RunShape {
    /// Tokens that are in memory at once.
    pub(super) fn tokens(&self) -> f64 {
        let of_row = self.chunk_ctx.unwrap_or(usize::MAX).min(self.max_seq_len);
        self.batch_size as f64 * of_row as f64
    }

    /// Tokens whose scores of one token are in memory.
    pub(super) fn scored(&self) -> f64 {
        if self.tiles {
            0.0
        } else {
            self.max_seq_len as f64
        }
    }

    /// Copies in f32 of the weights that a product needs.
    pub(super) fn cast_copies(&self) -> f64 {
        f64::from(u8::from(self.base_bytes_per_parameter < 4 && self.casts))
    }

    /// What makes fewer tokens lie in memory at once.
    pub(super) fn fewer_tokens(&self) -> String {
        let length = match self.chunk_ctx {
            Some(_) => "chunk_ctx",
            None => "max_seq_len, or set chunk_ctx",
        };
        if self.batch_size > 1 {
            format!("lower batch_size (gradient_accumulation makes up for it) or {length}")
        } else {
            format!("lower {length}")
        }
    }
}
