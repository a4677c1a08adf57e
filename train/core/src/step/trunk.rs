//! The trunk: forward and backward of a piece through embedding and blocks.

use super::Gradients;
use super::head::Draws;
use super::piece::Piece;
use super::{State, TrainBackend, TrainModel};
use bone::visit::{FloatParam, visit_floats};
use bone_lm::{Backend, Block, CausalLm, generate::token_tensor};
use burn::module::{AutodiffModule, Module};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

/// The parts of a model that contain trained parameters. Other parts need no backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trained {
    embedding: bool,
    /// The first block with trained parameters; the number of blocks if no block has any.
    first_block: usize,
}

impl Trained {
    pub(super) fn of<B: TrainBackend, M: TrainModel<B>>(model: &M, device: &B::Device) -> Self {
        // Adding a tracked leaf ensures that a graph exists for the backward.
        let token = token_tensor::<B>(&[0], 1, 1, device);
        let embedded = model.embed(token);
        let leaf = embedded.zeros_like().require_grad();
        let mut grads = (embedded + leaf).sum().backward();
        let mut found = Gradients::default();
        found.add::<B, M>(&mut grads, model);
        let blocks = model.blocks();
        Self {
            embedding: !found.is_empty(),
            first_block: blocks
                .iter()
                .position(|block| trains(block))
                .unwrap_or(blocks.len()),
        }
    }

    /// Returns the first block whose input the backward needs.
    pub(super) fn first_input(self) -> usize {
        if self.embedding { 0 } else { self.first_block }
    }
}

fn trains<B: burn::tensor::backend::Backend>(module: &impl Module<B>) -> bool {
    let mut any = false;
    visit_floats(module, |param: FloatParam<'_, B>| {
        any |= param.is_require_grad()
    });
    any
}

/// States carried from piece to piece, one per block. They belong to no graph, so gradients end at a
/// piece's boundary.
pub(super) type Carried<B, M> =
    Vec<State<<B as AutodiffBackend>::InnerBackend, <M as AutodiffModule<B>>::InnerModule>>;

/// The input and the state from which a block starts a piece.
pub(super) struct BlockInput<B: TrainBackend, M: TrainModel<B>> {
    hidden: Tensor<B::InnerBackend, 3>,
    state: Option<State<B::InnerBackend, M::InnerModule>>,
}

/// The trunk's output, and the data for its backward.
pub(super) enum Trunk<B: TrainBackend, M: TrainModel<B>> {
    /// The whole graph.
    Graph(Tensor<B, 3>),
    /// The input of every block from the first trained one on.
    Inputs(Vec<BlockInput<B, M>>),
}

/// Runs a piece through embedding and blocks. Advances `states` to the end of the piece.
pub(super) fn run<B: Backend, M: CausalLm<B>>(
    model: &M,
    piece: &Piece,
    states: Option<&mut Vec<State<B, M>>>,
    device: &B::Device,
) -> Tensor<B, 3> {
    let context = model.context(&piece.span);
    let mut states = states.map(|states| states.iter_mut());
    let embedded = model.embed(piece.inputs(device));
    model.blocks().iter().fold(embedded, |hidden, block| {
        let state = states.as_mut().and_then(Iterator::next);
        block.forward(hidden, &context, state)
    })
}

/// A piece in a forward and backward pass of a trained model.
pub(super) struct Pass<'a, B: TrainBackend, M> {
    pub(super) model: &'a M,
    pub(super) piece: &'a Piece,
    pub(super) draws: Draws,
    pub(super) device: &'a B::Device,
}

impl<B: TrainBackend, M: TrainModel<B>> Pass<'_, B, M> {
    fn scope<T>(&self, forward: impl FnOnce() -> T) -> T {
        self.draws.scope(self.piece.row_keys.clone(), forward)
    }

    /// Returns the trunk's output with its graph. The graph ends at the initial states.
    pub(super) fn graph(&self, states: Option<&mut Carried<B, M>>) -> Tensor<B, 3> {
        let Some(states) = states else {
            return self.scope(|| run(self.model, self.piece, None, self.device));
        };
        let start = std::mem::take(states).into_iter();
        let mut tracked: Vec<State<B, M>> = start.map(State::<B, M>::from_inner).collect();
        let hidden = self.scope(|| run(self.model, self.piece, Some(&mut tracked), self.device));
        // Replacing the tracked states frees the part of the graph that only they keep alive.
        *states = tracked.iter().map(AutodiffModule::valid).collect();
        hidden
    }

    /// Returns the trunk's output without its graph, and the block inputs from block `first` on, which
    /// [`Self::backward`] needs. Advances `states` to the end of the piece.
    pub(super) fn inputs(
        &self,
        first: usize,
        states: Option<&mut Carried<B, M>>,
    ) -> (Tensor<B::InnerBackend, 3>, Vec<BlockInput<B, M>>) {
        // This shares storage with the model; nothing is copied.
        let model = self.model.valid();
        let context = model.context(&self.piece.span);
        let mut states = states.map(|states| states.iter_mut());
        let mut hidden = model.embed(self.piece.inputs(self.device));
        let mut inputs = Vec::new();
        for (index, block) in model.blocks().iter().enumerate() {
            let state = states.as_mut().and_then(Iterator::next);
            if index >= first {
                inputs.push(BlockInput {
                    hidden: hidden.clone(),
                    state: state.as_deref().cloned(),
                });
            }
            hidden = self.scope(|| block.forward(hidden, &context, state));
        }
        (hidden, inputs)
    }

    /// Adds the trunk's gradients to `grads`. `grad` is the gradient of the trunk's output.
    pub(super) fn backward(
        &self,
        trunk: Trunk<B, M>,
        trained: Trained,
        mut grad: Tensor<B::InnerBackend, 3>,
        grads: &mut Gradients,
    ) {
        let mut inputs = match trunk {
            Trunk::Graph(hidden) => {
                if trained.embedding || trained.first_block < self.model.blocks().len() {
                    let mut all = seed::<B>(hidden, grad);
                    grads.add::<B, M>(&mut all, self.model);
                }
                return;
            }
            Trunk::Inputs(inputs) => inputs,
        };
        let context = self.model.context(&self.piece.span);
        let blocks = self.model.blocks();
        let first = blocks.len() - inputs.len();
        for block in blocks[first..].iter().rev() {
            let Some(input) = inputs.pop() else {
                break;
            };
            // No parameter below the first trained block needs the gradient.
            let tracked = !inputs.is_empty() || trained.embedding;
            let hidden = Tensor::<B, 3>::from_inner(input.hidden).set_require_grad(tracked);
            let again = tracing::trace_span!("recompute").entered();
            let output = self.scope(|| {
                let mut state = input.state.map(State::<B, M>::from_inner);
                block.forward(hidden.clone(), &context, state.as_mut())
            });
            drop(again);
            let mut all = seed::<B>(output, grad);
            grads.add::<B, M::Block>(&mut all, block);
            match hidden.grad_remove(&mut all) {
                Some(next) => grad = next,
                None => return,
            }
        }
        if trained.embedding {
            let embedded = self.model.embed(self.piece.inputs(self.device));
            let mut all = seed::<B>(embedded, grad);
            grads.add::<B, M>(&mut all, self.model);
        }
    }
}

/// Returns `Σ grad · output`. Its backward gives `output` the gradient `grad`.
fn seed<B: TrainBackend>(
    output: Tensor<B, 3>,
    grad: Tensor<B::InnerBackend, 3>,
) -> <B as AutodiffBackend>::Gradients {
    (output * Tensor::from_inner(grad)).sum().backward()
}
