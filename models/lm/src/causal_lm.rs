//! The interface between models and the code that uses them.

use crate::Backend;
use bone::graph::cat;
use burn::module::Module;
use burn::tensor::{Int, Tensor};
use std::fmt::Debug;

/// The position of a piece of a batch in its sequences: one sequence per row, or several packed
/// into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Rows of the batch.
    pub batch: usize,
    /// Tokens of each row before this piece, held by the blocks' states.
    pub past: usize,
    /// Tokens of each row in this piece.
    pub len: usize,
    /// Number of padding tokens at the start of each row. Empty without padding.
    pub left_pad: Vec<usize>,
    /// Start positions of the sequences packed into each row, ascending from 0, relative to the
    /// whole row. The token before every start but the first is a gap and belongs to no sequence.
    /// Empty if every row is one sequence; cannot be combined with `left_pad`.
    pub starts: Vec<Vec<usize>>,
}

impl Span {
    /// Describes whole sequences without padding on the left.
    pub fn whole(batch: usize, len: usize) -> Self {
        Self {
            batch,
            past: 0,
            len,
            left_pad: Vec::new(),
            starts: Vec::new(),
        }
    }
}

/// The state that a block carries from one piece of its sequences to the next: keys and values, or
/// a recurrent state, one row per sequence. The default is the state at a sequence's start, which
/// has no rows yet.
///
/// It is a module so that it moves between a backend and its autodiff like weights. The operations
/// here change the sequences of a batch. All rows always hold the same number of tokens; shorter
/// sequences have padding on the left ([`Span::left_pad`]).
pub trait BlockState<B: Backend>: Module<B> + Default {
    /// Keeps the rows with these indices, in this order. A start state does not change.
    ///
    /// # Shapes
    ///
    /// - rows: `[rows kept]`, at least one
    fn select_rows(&mut self, rows: &Tensor<B, 1, Int>);

    /// Appends the rows of `other`. If this state has no rows, the result is `other`.
    ///
    /// # Panics
    ///
    /// Possibly, if the two hold different numbers of tokens: call [`pad_left`](Self::pad_left)
    /// first.
    fn append_rows(&mut self, other: Self);

    /// Inserts `count` tokens of padding before every row. A start state, or a state without
    /// tokens, does not change.
    fn pad_left(&mut self, _count: usize) {}

    /// Removes the first `count` tokens of every row, which must be padding in all of them. A start
    /// state, or a state without tokens, does not change.
    ///
    /// # Panics
    ///
    /// Possibly, if the rows do not have more tokens than `count`.
    fn trim_left(&mut self, _count: usize) {}
}

/// Appends the rows of `other` to those of `own`, along the first dimension. `None` means no rows.
/// It implements [`BlockState::append_rows`] for a single tensor.
///
/// # Panics
///
/// If the other dimensions differ.
pub fn append_rows<B: Backend, const D: usize>(
    own: &mut Option<Tensor<B, D>>,
    other: Option<Tensor<B, D>>,
) {
    *own = match (own.take(), other) {
        (Some(own), Some(other)) => Some(cat(vec![own, other], 0)),
        (own, other) => own.or(other),
    };
}

/// One block of a model, the unit of block recompute.
pub trait Block<B: Backend>: Module<B> {
    /// Data that all blocks of one forward share: positions, masks.
    type Context: Clone + Send + Debug;
    /// The state that the block carries from one piece of its sequences to the next.
    type State: BlockState<B>;

    /// Runs the block.
    ///
    /// With a `state`, the piece continues the sequences of that state, and the state advances to
    /// the piece's end. Without a state, the piece holds whole sequences.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`; the output has the same shape
    fn forward(
        &self,
        hidden: Tensor<B, 3>,
        context: &Self::Context,
        state: Option<&mut Self::State>,
    ) -> Tensor<B, 3>;
}

/// A group of parameters that can be trained in full, beside adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// RWKV's `time_*` tensors: token shift, decay and bonus.
    Time,
    /// Norms.
    Norm,
    /// The token embedding.
    Embedding,
    /// The output layer.
    Head,
}

/// A language model as embedding, blocks, final norm and head.
///
/// Padding on the right needs no mask: no token sees what comes after it.
pub trait CausalLm<B: Backend>: Module<B> {
    /// The model's block.
    type Block: Block<B>;

    /// Returns token embeddings: `[batch, len]` → `[batch, len, hidden_size]`, in the precision of
    /// the model's computation.
    fn embed(&self, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3>;

    /// Returns the blocks in order.
    fn blocks(&self) -> &[Self::Block];

    /// Returns the shared data that the blocks need for a piece.
    fn context(&self, span: &Span) -> <Self::Block as Block<B>>::Context;

    /// Computes the logits from the last block's output: final norm, then head.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`
    /// - output: `[batch, len, vocab_size]`
    fn head(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3>;

    /// Returns the number of rows of the output layer.
    fn vocab_size(&self) -> usize;

    /// Returns the part of a parameter, given its name in the model's checkpoints; `None` for
    /// parameters of the blocks' linear layers.
    fn part_of(&self, parameter: &str) -> Option<Part>;

    /// Returns the model with a trainable initial state in every block, zero if it had none; `None`
    /// for an architecture without a recurrent state.
    fn with_initial_state(self) -> Option<Self> {
        None
    }

    /// Computes the logits of whole sequences: `[batch, len]` → `[batch, len, vocab_size]`.
    fn forward(&self, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let [batch, len] = tokens.dims();
        let context = self.context(&Span::whole(batch, len));
        let mut hidden = self.embed(tokens);
        for block in self.blocks() {
            hidden = block.forward(hidden, &context, None);
        }
        self.head(hidden)
    }
}
