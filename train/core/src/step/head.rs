//! The head: from hidden states to the loss, and backward.

use super::Gradients;
use super::{TrainBackend, TrainModel};
use bone::dropout::{self, Draw};
use bone_data::Batch;
use bone_lm::{Backend, CausalLm, cross_entropy};
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use std::ops::Range;

/// Targets at the positions of a piece.
pub(super) struct Targets {
    /// Next token at every position, `[rows · len]`.
    tokens: Vec<i32>,
    /// Positions with a trained target.
    trained: Vec<i32>,
    /// One number per position, from its row and its place in the row. Dropout on the head is drawn from
    /// these numbers, so it does not depend on how the positions are grouped.
    pub(super) keys: Vec<u64>,
}

impl Targets {
    /// Returns the targets for these columns of `batch`.
    pub(super) fn new(batch: &Batch, inputs: Range<usize>) -> Self {
        let targets = inputs.start + 1..inputs.end + 1;
        let places: Vec<(usize, usize)> = (0..batch.rows)
            .flat_map(|row| targets.clone().map(move |t| (row, t)))
            .collect();
        let at = |(row, t): &(usize, usize)| row * batch.len + t;
        Self {
            tokens: places.iter().map(|p| batch.tokens[at(p)] as i32).collect(),
            trained: (0..)
                .zip(&places)
                .filter(|(_, place)| batch.loss_mask[at(place)])
                .map(|(position, _)| position)
                .collect(),
            keys: places
                .iter()
                .map(|(row, t)| (batch.row_ids[*row] << 24) ^ *t as u64)
                .collect(),
        }
    }

    /// Returns whether no target is trained.
    pub(super) fn is_empty(&self) -> bool {
        self.trained.is_empty()
    }

    /// Returns every trained position and its target.
    #[cfg(test)]
    pub(super) fn trained(&self) -> impl Iterator<Item = (usize, u32)> {
        let place = |p: &i32| (*p as usize, self.tokens[*p as usize] as u32);
        self.trained.iter().map(place)
    }

    fn chunks(&self, size: usize) -> impl Iterator<Item = Chunk> {
        self.trained.chunks(size.max(1)).map(|positions| Chunk {
            positions: positions.to_vec(),
            tokens: positions.iter().map(|p| self.tokens[*p as usize]).collect(),
            keys: positions.iter().map(|p| self.keys[*p as usize]).collect(),
        })
    }
}

/// A chunk of the trained positions.
struct Chunk {
    positions: Vec<i32>,
    tokens: Vec<i32>,
    keys: Vec<u64>,
}

/// Source of the dropout masks.
#[derive(Clone, Copy)]
pub(super) struct Draws {
    pub(super) seed: u64,
    pub(super) step: u64,
}

impl Draws {
    /// Runs `forward` with masks for these rows or tokens.
    pub(super) fn scope<T>(self, keys: Vec<u64>, forward: impl FnOnce() -> T) -> T {
        let draw = Draw {
            seed: self.seed,
            step: self.step,
            rows: keys,
        };
        dropout::scope(draw, forward)
    }
}

fn ints<B: Backend>(values: Vec<i32>, device: &B::Device) -> Tensor<B, 1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Returns `−log p(target)` of every position: hidden `[1, n, hidden_size]`, targets `[n]` → `[n]`.
fn negative_log_likelihood<B: Backend, M: CausalLm<B>>(
    model: &M,
    hidden: Tensor<B, 3>,
    targets: Tensor<B, 1, Int>,
) -> Tensor<B, 1> {
    let logits = model.head(hidden);
    let [_, n, vocab] = logits.dims();
    cross_entropy(logits.reshape([n, vocab]), targets)
}

/// Returns the sum over the trained positions, from the logits of all positions.
pub(super) fn full<B: Backend, M: CausalLm<B>>(
    model: &M,
    hidden: Tensor<B, 3>,
    targets: &Targets,
    device: &B::Device,
) -> Tensor<B, 1> {
    let [batch, len, size] = hidden.dims();
    let n = batch * len;
    let losses = negative_log_likelihood(
        model,
        hidden.reshape([1, n, size]),
        ints(targets.tokens.clone(), device),
    );
    let mut weights = vec![0f32; n];
    for position in &targets.trained {
        weights[*position as usize] = 1.0;
    }
    let weights = Tensor::from_data(TensorData::new(weights, [n]), (device, losses.dtype()));
    (losses * weights).sum()
}

/// Computes [`full`] with gradients and the head's dropout, over the trained positions only, `chunk` at a
/// time. Adds the head's gradients. Returns the sum and the gradient of `hidden`.
pub(super) fn chunked<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    hidden: Tensor<B::InnerBackend, 3>,
    targets: &Targets,
    (scale, draws): (f64, Draws),
    chunk: usize,
    device: &B::Device,
    grads: &mut Gradients,
) -> (Tensor<B::InnerBackend, 1>, Tensor<B::InnerBackend, 3>) {
    let [batch, len, size] = hidden.dims();
    let rows = hidden.reshape([batch * len, size]);
    let mut grad = rows.zeros_like();
    let mut sum = rows.clone().slice([0..1, 0..1]).reshape([1]).zeros_like();
    for chunk in targets.chunks(chunk) {
        let n = chunk.positions.len();
        let positions = ints::<B::InnerBackend>(chunk.positions, device);
        let part = rows.clone().select(0, positions.clone());
        let leaf = Tensor::<B, 3>::from_inner(part.reshape([1, n, size])).require_grad();
        let tokens = ints(chunk.tokens, device);
        let loss = draws.scope(chunk.keys, || {
            negative_log_likelihood(model, leaf.clone(), tokens).sum()
        });
        let mut all = loss.clone().mul_scalar(scale).backward();
        grads.add::<B, M>(&mut all, model);
        sum = sum + loss.inner();
        if let Some(part) = leaf.grad_remove(&mut all) {
            let part = part.reshape([n, size]);
            grad = grad.select_assign(0, positions, part, IndexingUpdateOp::Add);
        }
    }
    (sum, grad.reshape([batch, len, size]))
}

/// Returns the sum over the trained positions, without gradients.
pub(super) fn evaluate<B: Backend, M: CausalLm<B>>(
    model: &M,
    hidden: Tensor<B, 3>,
    targets: &Targets,
    chunk: Option<usize>,
    device: &B::Device,
) -> Tensor<B, 1> {
    let [batch, len, size] = hidden.dims();
    let rows = hidden.reshape([batch * len, size]);
    let mut sum = rows.clone().slice([0..1, 0..1]).reshape([1]).zeros_like();
    for chunk in targets.chunks(chunk.unwrap_or(usize::MAX)) {
        let n = chunk.positions.len();
        let part = rows.clone().select(0, ints(chunk.positions, device));
        let tokens = ints(chunk.tokens, device);
        let losses = negative_log_likelihood(model, part.reshape([1, n, size]), tokens);
        sum = sum + losses.sum();
    }
    sum
}
