//! Cutting the sequences of a batch into pieces.

use super::head::Targets;
use bone_data::Batch;
use bone_lm::{Backend, Span, generate::token_tensor};
use burn::tensor::{Int, Tensor};
use std::ops::Range;

/// Consecutive tokens of every sequence of a batch, with their targets.
pub(super) struct Piece {
    pub(super) span: Span,
    /// `[span.batch, span.len]`, row-major.
    tokens: Vec<u32>,
    /// The next token of each token. For a piece's last token it is the first token of the next piece.
    pub(super) targets: Targets,
    /// One number per row, from its id and the piece's number. The blocks' dropout is drawn from it. In the
    /// first piece the numbers are the ids, as in a whole batch.
    pub(super) row_keys: Vec<u64>,
}

impl Piece {
    /// Returns piece `number` of `batch`, with these inputs.
    fn new(batch: &Batch, inputs: Range<usize>, number: u64) -> Self {
        let row = |row: usize| &batch.tokens[row * batch.len..][inputs.clone()];
        Self {
            span: Span {
                batch: batch.rows,
                past: inputs.start,
                len: inputs.len(),
                left_pad: Vec::new(),
                starts: batch.starts.clone(),
            },
            tokens: (0..batch.rows).flat_map(row).copied().collect(),
            targets: Targets::new(batch, inputs.clone()),
            // Ids are row numbers, which are far below 2⁴⁰.
            row_keys: batch.row_ids.iter().map(|id| id ^ (number << 40)).collect(),
        }
    }

    pub(super) fn inputs<B: Backend>(&self, device: &B::Device) -> Tensor<B, 2, Int> {
        token_tensor(&self.tokens, self.span.batch, self.span.len, device)
    }
}

/// The pieces of a batch, in order. Tokens after the last trained target are dropped, unless the batch is
/// one piece.
pub(super) struct Pieces {
    pub(super) before: Vec<Piece>,
    /// The last piece. Its loss is always computed, and is zero for a batch without trained targets.
    pub(super) last: Piece,
}

impl Pieces {
    /// Cuts `batch` into pieces of at most `chunk_ctx` tokens; `None` keeps it whole. 0 counts as 1.
    pub(super) fn cut(batch: &Batch, chunk_ctx: Option<usize>) -> Self {
        // A row's last token has no target.
        let inputs = batch.len.saturating_sub(1);
        let size = chunk_ctx.unwrap_or(inputs).max(1);
        // An input's index is one less than its target's.
        let needed = match chunk_ctx {
            None => inputs,
            Some(_) => batch.last_trained().unwrap_or(0),
        };
        let piece = |start: usize| {
            Piece::new(
                batch,
                start..inputs.min(start + size),
                (start / size) as u64,
            )
        };
        let last = needed.saturating_sub(1) / size * size;
        Self {
            before: (0..last).step_by(size).map(piece).collect(),
            last: piece(last),
        }
    }

    /// Returns the initial states of the first piece, one per block; `None` if there is only one piece,
    /// which carries nothing.
    pub(super) fn states<S: Default + Clone>(&self, blocks: usize) -> Option<Vec<S>> {
        (!self.before.is_empty()).then(|| vec![S::default(); blocks])
    }
}
