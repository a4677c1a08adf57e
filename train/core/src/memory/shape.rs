//! The sizes of models and runs that determine the memory.

/// Memory of a block under autodiff besides its weights, in floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivationShape {
    /// Floats per token, kept from the forward to the backward.
    pub kept: f64,
    /// Floats per pair of a token and a token it attends to, kept from the forward to the backward.
    pub kept_of_pair: f64,
    /// Temporary floats per token in the backward.
    pub passing: f64,
    /// Temporary floats per such pair in the backward.
    pub passing_of_pair: f64,
    /// Floats per sequence, carried from one piece to the next.
    pub carried: f64,
    /// Floats per token before the piece, carried from one piece to the next.
    pub carried_of_token: f64,
}

impl ActivationShape {
    /// Returns the shape of a LLaMA block. `hidden_size` is the larger of the residual stream and all heads
    /// together. Keys and values are carried.
    ///
    /// Kept per token, in hidden sizes: the inputs of the norms and their divisors; queries, keys and
    /// values before and after rotation; the heads' result; both residual sums. In intermediate sizes:
    /// gate, up, the activation and the parts of its derivative, the product. Of the `[heads, seq, seq]`
    /// scores: raw, masked, after the softmax.
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

    /// Returns the shape of an RWKV6 block. Two shifted tokens and one `[head_size, head_size]` state per
    /// head are carried.
    ///
    /// Kept per token, in hidden sizes: two shifts and their differences; the six mixed inputs and their
    /// mixing factors; r, k, v, gate and decay with the decay's two exponentials; the wkv's result; its
    /// norm; both residual sums. In widths of the feed-forward part: the key, its relu and its square, with
    /// the parts of their derivatives.
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
    /// Number of all parameters. A tied embedding counts once.
    pub parameters: usize,
    /// Parameters of the largest block.
    pub block_parameters: usize,
    /// Width of the residual stream, or of all heads together if that is larger.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Memory of a block besides its weights.
    pub activations: ActivationShape,
}

impl ModelShape {
    /// Returns the number of parameters of the head, which equals that of the embedding.
    pub(super) fn head(&self) -> f64 {
        self.vocab_size as f64 * self.hidden_size as f64
    }
}

/// The facts of a run that determine its memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunShape {
    /// Number of trained parameters.
    pub trainable_parameters: usize,
    /// Whether they belong to the base, as in full fine-tuning, and not to adapters.
    pub trains_base: bool,
    /// Bytes per base parameter in memory.
    pub base_bytes_per_parameter: usize,
    /// The half precision that the device supports for a base, by its user-visible name.
    pub half_precision: Option<&'static str>,
    /// Rows per micro-batch.
    pub batch_size: usize,
    /// Maximum sequence length in tokens.
    pub max_seq_len: usize,
    /// Tokens per piece of a sequence; `None` for whole sequences.
    pub chunk_ctx: Option<usize>,
    /// Whether blocks are run again in the backward.
    pub recompute: bool,
    /// Whether logits are computed in chunks of tokens.
    pub chunked_head: bool,
    /// Tokens per chunk of the head.
    pub head_chunk: usize,
    /// Whether the backend computes attention scores in tiles, so that all scores never exist at once.
    pub tiles: bool,
    /// Whether a product casts the whole half-precision weight at once, and not panel by panel.
    pub casts: bool,
}

impl RunShape {
    /// Returns the number of tokens that are in memory at once.
    pub(super) fn tokens(&self) -> f64 {
        let of_row = self.chunk_ctx.unwrap_or(usize::MAX).min(self.max_seq_len);
        self.batch_size as f64 * of_row as f64
    }

    /// Returns the number of tokens for which one token's scores are in memory.
    pub(super) fn scored(&self) -> f64 {
        if self.tiles {
            0.0
        } else {
            self.max_seq_len as f64
        }
    }

    /// Returns the number of f32 copies of weights that a product needs.
    pub(super) fn cast_copies(&self) -> f64 {
        f64::from(u8::from(self.base_bytes_per_parameter < 4 && self.casts))
    }

    /// Returns the advice that reduces the tokens in memory.
    pub(super) fn fewer_tokens(&self) -> String {
        let length = match self.chunk_ctx {
            Some(_) => "chunk_ctx",
            None => "max_seq_len, or set chunk_ctx",
        };
        if self.batch_size > 1 {
            format!("lower batch_size (and raise gradient_accumulation) or {length}")
        } else {
            format!("lower {length}")
        }
    }
}
