//! Loss and gradients of a batch.
//!
//! A forward has two halves: the trunk (embedding and blocks) and the head (final norm, logits, loss). Each
//! half has a form that saves memory, chosen by [`Savings`]:
//!
//! - *block recompute*: the blocks run without a graph, and only each block's input is kept. The backward
//!   runs one block at a time again under autodiff. Memory: the inputs and one block's graph.
//! - *chunked head*: logits, loss and the gradient of the hidden state are computed for one chunk of
//!   trained tokens at a time. The whole `[tokens, vocab]` never exists.
//!
//! Every trained parameter gets the same gradient as from the plain graph. This covers adapters, full
//! training, a head, and an embedding that is also the head, whose gradient comes from both ends.
//!
//! Long sequences are processed in *pieces*: forward, loss and backward of one piece, then of the next. The
//! next piece starts from the state in which the blocks ended. Memory: that of one piece. The loss equals
//! that of whole sequences. The gradient is cut at the piece boundaries, because the carried state has no
//! graph.

use bone_data::Batch;
use bone_lm::{Backend, Block, CausalLm};
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

mod gradients;
mod head;
mod piece;
#[cfg(test)]
mod tests;
mod trunk;

pub use gradients::Gradients;
use head::Draws;
use piece::{Piece, Pieces};
use trunk::{Carried, Pass, Trained, Trunk};

/// A backend for training: the language models run on it and on its inner backend.
pub trait TrainBackend: AutodiffBackend<InnerBackend: Backend> + Backend {}

impl<B> TrainBackend for B where B: AutodiffBackend<InnerBackend: Backend> + Backend {}

/// The state that a model's blocks carry from piece to piece.
type State<B, M> = <<M as CausalLm<B>>::Block as Block<B>>::State;

/// A model for training. A model that derives `Module` only has to name its type without autodiff.
///
/// A block's state without autodiff must be the inner module of its state with autodiff, so that one
/// converts to the other. `derive(Module)` ensures this.
pub trait TrainModel<B: TrainBackend>:
    CausalLm<B, Block: AutodiffModule<B> + Block<B, State: AutodiffModule<B, InnerModule: Default>>>
    + AutodiffModule<B, InnerModule = Self::Inner>
{
    /// The model without autodiff.
    type Inner: CausalLm<
            B::InnerBackend,
            Block: Block<
                B::InnerBackend,
                State = <State<B, Self> as AutodiffModule<B>>::InnerModule,
            >,
        >;
}

/// Memory savings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savings {
    /// Run each block again in the backward instead of keeping its graph.
    pub recompute: bool,
    /// Tokens that the head processes at once; `None` for all tokens in one `[tokens, vocab]`.
    pub head_chunk: Option<usize>,
}

/// Computes `scale · Σ −log p(target)` over the trained targets of `batch` and adds its gradients to
/// `grads`. Returns the sum without `scale`, `[1]`, on the device.
///
/// With `scale = 1 / trained tokens of the whole optimizer step`, the gradients of a step's micro-batches
/// add up to those of the whole batch. Dropout masks depend on `seed`, `step` and the batch's row numbers.
///
/// With `chunk_ctx` the sequences are processed in pieces of that many tokens.
pub fn backward<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    batch: &Batch,
    scale: f64,
    (savings, chunk_ctx): (Savings, Option<usize>),
    (seed, step): (u64, u64),
    device: &B::Device,
    grads: &mut Gradients,
) -> Tensor<B::InnerBackend, 1> {
    let saves = savings.recompute || savings.head_chunk.is_some();
    let run = Run {
        model,
        savings,
        trained: saves.then(|| Trained::of::<B, M>(model, device)),
        scale,
        draws: Draws { seed, step },
        device,
    };
    let pieces = Pieces::cut(batch, chunk_ctx);
    let mut states = pieces.states(model.blocks().len());
    let mut total = None;
    for piece in &pieces.before {
        if piece.targets.is_empty() {
            // This piece has no trained targets: only the states advance.
            run.pass(piece).inputs(usize::MAX, states.as_mut());
        } else {
            let sum = run.backward(piece, states.as_mut(), grads);
            total = Some(plus(total, sum));
        }
    }
    plus(total, run.backward(&pieces.last, states.as_mut(), grads))
}

/// Returns `Σ −log p(target)` over the trained targets of `batch`, `[1]`, without gradients or dropout. The
/// head processes `head_chunk` tokens at once, the blocks `chunk_ctx` tokens of every row.
pub fn loss_sum<B: Backend, M: CausalLm<B>>(
    model: &M,
    batch: &Batch,
    head_chunk: Option<usize>,
    chunk_ctx: Option<usize>,
    device: &B::Device,
) -> Tensor<B, 1> {
    let pieces = Pieces::cut(batch, chunk_ctx);
    let mut states = pieces.states(model.blocks().len());
    let mut total = None;
    for piece in &pieces.before {
        let hidden = trunk::run(model, piece, states.as_mut(), device);
        if !piece.targets.is_empty() {
            let sum = head::evaluate(model, hidden, &piece.targets, head_chunk, device);
            total = Some(plus(total, sum));
        }
    }
    let hidden = trunk::run(model, &pieces.last, states.as_mut(), device);
    let sum = head::evaluate(model, hidden, &pieces.last.targets, head_chunk, device);
    plus(total, sum)
}

fn plus<B: Backend>(total: Option<Tensor<B, 1>>, sum: Tensor<B, 1>) -> Tensor<B, 1> {
    match total {
        Some(total) => total + sum,
        None => sum,
    }
}

/// Values shared by all pieces of a batch.
struct Run<'a, B: TrainBackend, M> {
    model: &'a M,
    savings: Savings,
    /// `None` if one plain graph is used, which finds the trained parameters itself.
    trained: Option<Trained>,
    scale: f64,
    draws: Draws,
    device: &'a B::Device,
}

impl<B: TrainBackend, M: TrainModel<B>> Run<'_, B, M> {
    fn pass<'a>(&'a self, piece: &'a Piece) -> Pass<'a, B, M> {
        Pass {
            model: self.model,
            piece,
            draws: self.draws,
            device: self.device,
        }
    }

    /// Computes loss and gradients of one piece and frees its graph. Advances `states` to the end of the
    /// piece.
    fn backward(
        &self,
        piece: &Piece,
        states: Option<&mut Carried<B, M>>,
        grads: &mut Gradients,
    ) -> Tensor<B::InnerBackend, 1> {
        let (model, device, scale) = (self.model, self.device, self.scale);
        let targets = &piece.targets;
        let pass = self.pass(piece);
        let Some(trained) = self.trained else {
            let hidden = pass.graph(states);
            // One graph: its backward covers the head and the trunk.
            let keys = targets.keys.clone();
            let draws = self.draws;
            let sum = draws.scope(keys, || head::full(model, hidden, targets, device));
            let mut all = sum.clone().mul_scalar(scale).backward();
            grads.add::<B, M>(&mut all, model);
            return sum.inner();
        };
        let (hidden, trunk) = if self.savings.recompute {
            let (hidden, inputs) = pass.inputs(trained.first_input(), states);
            (hidden, Trunk::Inputs(inputs))
        } else {
            let hidden = pass.graph(states);
            (hidden.clone().inner(), Trunk::Graph(hidden))
        };
        let drawn = (scale, self.draws);
        let head = tracing::trace_span!("head and loss").entered();
        let chunk = self.savings.head_chunk.unwrap_or(usize::MAX);
        let (sum, grad) = head::chunked(model, hidden, targets, drawn, chunk, device, grads);
        drop(head);
        pass.backward(trunk, trained, grad, grads);
        sum
    }
}
