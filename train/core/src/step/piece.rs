//! A batch cut into pieces of its sequences.

use super::head::Targets;
use bone_data::Batch;
use bone_lm::{Backend, Span, generate::token_tensor};
use burn::tensor::{Int, Tensor};
use std::ops::Range;

/// Consecutive tokens of every sequence of a batch, and what they predict.
pub(super) struct Piece {
    pub(super) span: Span,
    /// `[span.batch, span.len]`, row-major.
    tokens: Vec<u32>,
    /// The next token of each, which for a piece's last is the first of the next piece.
    pub(super) targets: Targets,
    /// One number a row, from its id and the piece's place: what the blocks' dropout is drawn
    /// from. The first piece has the ids themselves, as a whole batch does.
    pub(super) row_keys: Vec<u64>,
}

impl Piece {
    /// The piece with these inputs of `batch`, the `number`th.
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
            // Ids are row numbers, far below 2⁴⁰.
            row_keys: batch.row_ids.iter().map(|id| id ^ (number << 40)).collect(),
        }
    }

    pub(super) fn inputs<B: Backend>(&self, device: &B::Device) -> Tensor<B, 2, Int> {
        token_tensor(&self.tokens, self.span.batch, self.span.len, device)
    }
}

/// The pieces of a batch, in order. What comes after the last trained target is left out, unless
/// the batch is whole.
pub(super) struct Pieces {
    pub(super) before: Vec<Piece>,
    /// Its loss is always taken, which is zero for a batch that trains nothing.
    pub(super) last: Piece,
}

impl Pieces {
    /// Cuts `batch` into pieces of at most `chunk_ctx` tokens; `None` leaves it whole. 0 is taken
    /// as 1.
    pub(super) fn cut(batch: &Batch, chunk_ctx: Option<usize>) -> Self {
        // Nothing is predicted from a row's last token.
        let inputs = batch.len.saturating_sub(1);
        let size = chunk_ctx.unwrap_or(inputs).max(1);
        // An input's number is one less than its target's.
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

    /// The states the first piece starts from, one a block; `None` where there is nothing to
    /// carry, because one piece is all.
    pub(super) fn states<S: Default + Clone>(&self, blocks: usize) -> Option<Vec<S>> {
        (!self.before.is_empty()).then(|| vec![S::default(); blocks])
    }
}
