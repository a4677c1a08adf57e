//! Loss and gradients of a batch.
//!
//! A forward is seen as trunk (embedding and blocks) and head (final norm, logits, loss). Each
//! half has a cheap-in-memory form, chosen by [`Savings`]:
//!
//! - *block recompute*: the blocks run without a graph, keeping each one's input; in the backward
//!   one block at a time is run again under autodiff. Memory: the inputs and one block's graph.
//! - *chunked head*: logits, loss and the gradient to the hidden state are made for a chunk of
//!   trained tokens at a time, so that `[tokens, vocab]` never exists.
//!
//! Whatever trains gets the gradient the plain graph gives: adapters, everything, a head, or an
//! embedding that is also the head and gets its gradient from both ends.

use crate::data::Batch;
use crate::gradients::Gradients;
use bone::dropout::{self, Draw};
use bone_lm::{Backend, Block, CausalLm, Span, generate::token_tensor};
use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Int, Tensor};

mod head;
#[cfg(test)]
mod tests;

use head::{HeadDraw, Targets};

/// A backend the loop trains on: the language models run on it and on its inner backend.
pub trait TrainBackend: AutodiffBackend<InnerBackend: Backend> + Backend {}

impl<B> TrainBackend for B where B: AutodiffBackend<InnerBackend: Backend> + Backend {}

/// A model the loop trains.
pub trait TrainModel<B: TrainBackend>:
    CausalLm<B, Block: AutodiffModule<B>> + AutodiffModule<B, InnerModule: CausalLm<B::InnerBackend>>
{
}

impl<B, M> TrainModel<B> for M
where
    B: TrainBackend,
    M: CausalLm<B, Block: AutodiffModule<B>>
        + AutodiffModule<B, InnerModule: CausalLm<B::InnerBackend>>,
{
}

/// Where memory is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savings {
    /// Run each block a second time instead of keeping its graph.
    pub recompute: bool,
    /// Tokens the head handles at once; `None` for all of them, in one `[tokens, vocab]`.
    pub head_chunk: Option<usize>,
}

/// Which parts of a model have something that trains. The rest needs no backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trained {
    embedding: bool,
    /// The first block that trains; the number of blocks if none does.
    first_block: usize,
}

impl Trained {
    fn of<B: TrainBackend, M: TrainModel<B>>(model: &M, device: &B::Device) -> Self {
        // A leaf that is added in makes sure that there is a graph to go back through.
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
}

struct AnyTrained(bool);

impl<B: burn::tensor::backend::Backend> ModuleVisitor<B> for AnyTrained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0 |= param.is_require_grad();
    }
}

fn trains<B: burn::tensor::backend::Backend>(module: &impl Module<B>) -> bool {
    let mut any = AnyTrained(false);
    module.visit(&mut any);
    any.0
}

/// One batch on its way through a model.
struct Pass<'a, B: TrainBackend, M> {
    model: &'a M,
    batch: &'a Batch,
    draw: Draw,
    device: &'a B::Device,
}

/// The trunk's output, and what its backward needs.
enum Trunk<B: TrainBackend> {
    /// The whole graph.
    Graph(Tensor<B, 3>),
    /// The input of every block from the first that trains.
    Inputs(Vec<Tensor<B::InnerBackend, 3>>),
}

/// Computes `scale · Σ −log p(target)` over the trained targets of `batch`, adds its gradients to
/// `grads`, and returns the sum without `scale`, `[1]`, on the device.
///
/// With `scale = 1 / trained tokens of the whole optimizer step`, the gradients of a step's micro
/// batches add up to those of the big batch. `seed` and `step` are what dropout masks are drawn
/// from, beside the batch's row numbers.
pub fn backward<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    batch: &Batch,
    scale: f64,
    savings: Savings,
    (seed, step): (u64, u64),
    device: &B::Device,
    grads: &mut Gradients,
) -> Tensor<B::InnerBackend, 1> {
    let pass = Pass::<B, M> {
        model,
        batch,
        draw: Draw {
            seed,
            step,
            rows: batch.row_ids.clone(),
        },
        device,
    };
    let targets = Targets::new(batch);
    let draw = HeadDraw { seed, step };
    if !savings.recompute && savings.head_chunk.is_none() {
        let hidden = pass.trunk(model);
        let sum = head::full_drawn(model, hidden, &targets, draw, device);
        let mut all = sum.clone().mul_scalar(scale).backward();
        grads.add::<B, M>(&mut all, model);
        return sum.inner();
    }
    let trained = Trained::of::<B, M>(model, device);
    let (hidden, trunk) = if savings.recompute {
        let (hidden, inputs) = pass.trunk_without_graph(trained);
        (hidden, Trunk::Inputs(inputs))
    } else {
        let hidden = pass.trunk(model);
        (hidden.clone().inner(), Trunk::Graph(hidden))
    };
    let (sum, grad) = match savings.head_chunk {
        Some(chunk) => head::chunked(model, hidden, &targets, (scale, draw), chunk, device, grads),
        None => head::whole(model, hidden, &targets, (scale, draw), device, grads),
    };
    pass.trunk_backward(trunk, trained, grad, grads);
    sum
}

/// `Σ −log p(target)` over the trained targets of `batch`, `[1]`, without gradients or dropout.
pub fn loss_sum<B: Backend, M: CausalLm<B>>(
    model: &M,
    batch: &Batch,
    head_chunk: Option<usize>,
    device: &B::Device,
) -> Tensor<B, 1> {
    let hidden = run_trunk(model, inputs_of(batch, device));
    head::evaluate(model, hidden, &Targets::new(batch), head_chunk, device)
}

/// The tokens something is predicted from: all but each row's last.
fn inputs_of<B: Backend>(batch: &Batch, device: &B::Device) -> Tensor<B, 2, Int> {
    let kept: Vec<u32> = batch
        .tokens
        .chunks_exact(batch.len)
        .flat_map(|row| &row[..batch.len - 1])
        .copied()
        .collect();
    token_tensor(&kept, batch.rows, batch.len - 1, device)
}

fn run_trunk<B: Backend, M: CausalLm<B>>(model: &M, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3> {
    let [batch, len] = tokens.dims();
    let context = model.context(&Span::whole(batch, len));
    let embedded = model.embed(tokens);
    model.blocks().iter().fold(embedded, |hidden, block| {
        block.forward(hidden, &context, None)
    })
}

/// `Σ grad · output`, whose backward puts `grad` on `output`.
fn seed<B: TrainBackend>(
    output: Tensor<B, 3>,
    grad: Tensor<B::InnerBackend, 3>,
) -> <B as AutodiffBackend>::Gradients {
    (output * Tensor::from_inner(grad)).sum().backward()
}

impl<B: TrainBackend, M: TrainModel<B>> Pass<'_, B, M> {
    fn span(&self) -> Span {
        Span::whole(self.batch.rows, self.batch.len - 1)
    }

    fn trunk(&self, model: &M) -> Tensor<B, 3> {
        dropout::scope(self.draw.clone(), || {
            run_trunk(model, inputs_of(self.batch, self.device))
        })
    }

    fn trunk_without_graph(
        &self,
        trained: Trained,
    ) -> (Tensor<B::InnerBackend, 3>, Vec<Tensor<B::InnerBackend, 3>>) {
        // Shares storage with the model; nothing is copied.
        let model = self.model.valid();
        let context = model.context(&self.span());
        let mut hidden = model.embed(inputs_of(self.batch, self.device));
        let mut inputs = Vec::new();
        for (index, block) in model.blocks().iter().enumerate() {
            if index >= trained.first_block || trained.embedding {
                inputs.push(hidden.clone());
            }
            hidden = dropout::scope(self.draw.clone(), || block.forward(hidden, &context, None));
        }
        (hidden, inputs)
    }

    fn trunk_backward(
        &self,
        trunk: Trunk<B>,
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
        let context = self.model.context(&self.span());
        let blocks = self.model.blocks();
        let first = blocks.len() - inputs.len();
        for block in blocks[first..].iter().rev() {
            let Some(input) = inputs.pop() else {
                break;
            };
            // Below the first block that trains nobody reads the gradient.
            let goes_on = !inputs.is_empty() || trained.embedding;
            let input = Tensor::<B, 3>::from_inner(input).set_require_grad(goes_on);
            let output = dropout::scope(self.draw.clone(), || {
                block.forward(input.clone(), &context, None)
            });
            let mut all = seed::<B>(output, grad);
            grads.add::<B, M::Block>(&mut all, block);
            match input.grad_remove(&mut all) {
                Some(next) => grad = next,
                None => return,
            }
        }
        if trained.embedding {
            let embedded = self.model.embed(inputs_of(self.batch, self.device));
            let mut all = seed::<B>(embedded, grad);
            grads.add::<B, M>(&mut all, self.model);
        }
    }
}
