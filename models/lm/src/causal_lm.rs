//! The seam between models and everything that uses them.

use crate::Backend;
use bone::graph::cat;
use burn::module::Module;
use burn::tensor::{Int, Tensor};
use std::fmt::Debug;

/// Where a piece of a batch stands in its sequences: one a row, or several packed into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Rows of the batch.
    pub batch: usize,
    /// Tokens of each row before this piece, held by the blocks' states.
    pub past: usize,
    /// Tokens of each row in this piece.
    pub len: usize,
    /// How many of each row's first tokens are padding. Empty when none are.
    pub left_pad: Vec<usize>,
    /// Where the sequences packed into each row begin, ascending from 0, as places in the whole
    /// row. The token before every start but the first is a gap, of no sequence. Empty when every
    /// row is one sequence; never beside `left_pad`.
    pub starts: Vec<Vec<usize>>,
}

impl Span {
    /// Whole sequences without padding on the left.
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

/// What a block carries from one piece of its sequences to the next: keys and values, or a
/// recurrent state, one row a sequence. The default is that of a sequence's start, which has no
/// rows yet.
///
/// It is a module so that it moves between a backend and its autodiff as weights do. The
/// operations here change which sequences a batch is made of; all rows always hold the same
/// number of tokens, those of shorter sequences with padding first ([`Span::left_pad`]).
pub trait BlockState<B: Backend>: Module<B> + Default {
    /// Keeps the rows with these indices, in their order. A start stays one.
    ///
    /// # Shapes
    ///
    /// - rows: `[rows kept]`, at least one
    fn select_rows(&mut self, rows: &Tensor<B, 1, Int>);

    /// Puts the rows of `other` after its own; a start, which has none, becomes `other`.
    ///
    /// # Panics
    ///
    /// May, where the two hold different numbers of tokens: [`pad_left`](Self::pad_left) first.
    fn append_rows(&mut self, other: Self);

    /// Puts `count` tokens of padding before every row's first. Does nothing to a start, nor to a
    /// state that is not made of tokens.
    fn pad_left(&mut self, _count: usize) {}

    /// Takes the first `count` tokens off every row, which have to be padding in all of them.
    /// Does nothing to a start, nor to a state that is not made of tokens.
    ///
    /// # Panics
    ///
    /// May, where there are not more tokens than that.
    fn trim_left(&mut self, _count: usize) {}
}

/// Puts the rows of `other` after those of `own`, along the first dimension; either may be absent,
/// which is to have no rows. What [`BlockState::append_rows`] is to a single tensor.
///
/// # Panics
///
/// Where the other dimensions differ.
pub fn append_rows<B: Backend, const D: usize>(
    own: &mut Option<Tensor<B, D>>,
    other: Option<Tensor<B, D>>,
) {
    *own = match (own.take(), other) {
        (Some(own), Some(other)) => Some(cat(vec![own, other], 0)),
        (own, other) => own.or(other),
    };
}

/// One block of a model: what block recompute runs again.
pub trait Block<B: Backend>: Module<B> {
    /// What all blocks of one forward share: positions, masks.
    type Context: Clone + Send + Debug;
    /// What the block carries from one piece of its sequences to the next.
    type State: BlockState<B>;

    /// Runs the block.
    ///
    /// With a `state`, the piece continues the sequences that left it, and the state is brought
    /// up to the piece's end; without, the piece is the whole of its sequences.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`, and so the output
    fn forward(
        &self,
        hidden: Tensor<B, 3>,
        context: &Self::Context,
        state: Option<&mut Self::State>,
    ) -> Tensor<B, 3>;
}

/// A group of parameters that can be trained whole, beside adapters.
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

/// A language model seen as embedding, blocks, final norm and head.
///
/// Padding on the right needs no mask: no token sees what comes after it.
pub trait CausalLm<B: Backend>: Module<B> {
    /// The model's block.
    type Block: Block<B>;

    /// Token embeddings: `[batch, len]` → `[batch, len, hidden_size]`, in the precision the model
    /// computes in.
    fn embed(&self, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3>;

    /// The blocks in order.
    fn blocks(&self) -> &[Self::Block];

    /// What the blocks need to know of a piece.
    fn context(&self, span: &Span) -> <Self::Block as Block<B>>::Context;

    /// Logits of the last block's output: final norm, then head.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`
    /// - output: `[batch, len, vocab_size]`
    fn head(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3>;

    /// Rows of the output layer.
    fn vocab_size(&self) -> usize;

    /// The part the parameter of this name belongs to, named as in the model's checkpoints;
    /// `None` for what lies inside the blocks' linear layers.
    fn part_of(&self, parameter: &str) -> Option<Part>;

    /// The model with a trainable initial state in every block, zero where there was none; `None`
    /// for an architecture that has no recurrent state.
    fn with_initial_state(self) -> Option<Self> {
        None
    }

    /// Logits of whole sequences: `[batch, len]` → `[batch, len, vocab_size]`.
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
