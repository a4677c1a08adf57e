//! A model whose next token is a hash of all tokens before it. A token in the wrong place, a
//! neighbour's token or a visible padding token changes everything.

use crate::{Backend, Block, BlockState, CausalLm, Part, Span, append_rows};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use std::sync::{Arc, Mutex};

pub(super) const VOCAB: usize = 13;

/// Every hash is below this number; exact in f32.
const MODULUS: u32 = 10_007;

/// Returns the hashes of every prefix of `values`.
fn hashes(values: &[u32]) -> Vec<u32> {
    let mut hash = 7;
    let step = |value: &u32| {
        hash = (hash * 31 + value + 1) % MODULUS;
        hash
    };
    values.iter().map(step).collect()
}

/// Returns what two blocks compute for the last of `tokens`.
fn hash(tokens: &[u32]) -> u32 {
    *hashes(&hashes(tokens)).last().expect("a token")
}

/// Returns the logits for a hash: a most likely token, and sometimes a second one that is
/// practically equal.
fn logits(hash: u32) -> Vec<f32> {
    let best = hash as usize % VOCAB;
    let mut logits: Vec<f32> = (0..VOCAB).map(|i| ((i * 5 + best) % 4) as f32).collect();
    logits[best] = 8.0;
    logits[(best + 1) % VOCAB] = if hash.is_multiple_of(10) { 7.9995 } else { 6.5 };
    logits
}

/// Returns the logits after `tokens`.
pub(super) fn expected(tokens: &[u32]) -> Vec<f32> {
    logits(hash(tokens))
}

/// All tokens so far, `[batch, tokens, 1]`.
#[derive(Module, Debug)]
pub(super) struct Seen<B: Backend> {
    tokens: Option<Tensor<B, 3>>,
}

impl<B: Backend> Default for Seen<B> {
    fn default() -> Self {
        Self { tokens: None }
    }
}

impl<B: Backend> BlockState<B> for Seen<B> {
    fn select_rows(&mut self, rows: &Tensor<B, 1, Int>) {
        self.tokens = self.tokens.take().map(|t| t.select(0, rows.clone()));
    }

    fn append_rows(&mut self, other: Self) {
        append_rows(&mut self.tokens, other.tokens);
    }

    fn pad_left(&mut self, count: usize) {
        self.tokens = self.tokens.take().map(|tokens| {
            let [batch, _, _] = tokens.dims();
            let zeros = Tensor::zeros([batch, count, 1], &tokens.device());
            Tensor::cat(vec![zeros, tokens], 1)
        });
    }

    fn trim_left(&mut self, count: usize) {
        self.tokens = self.tokens.take().map(|tokens| {
            let left = tokens.dims()[1] - count;
            tokens.narrow(1, count, left)
        });
    }
}

#[derive(Module, Debug)]
pub(super) struct HashingBlock<B: Backend> {
    one: Param<Tensor<B, 1>>,
}

impl<B: Backend> Block<B> for HashingBlock<B> {
    type Context = Span;
    type State = Seen<B>;

    fn forward(
        &self,
        hidden: Tensor<B, 3>,
        span: &Span,
        state: Option<&mut Seen<B>>,
    ) -> Tensor<B, 3> {
        let state = state.expect("generation carries a state");
        assert_eq!(hidden.dims(), [span.batch, span.len, 1]);
        let all = match state.tokens.take() {
            None => hidden.clone(),
            Some(seen) => Tensor::cat(vec![seen, hidden.clone()], 1),
        };
        state.tokens = Some(all.clone());
        let (past, end) = (span.past, span.past + span.len);
        assert_eq!(all.dims(), [span.batch, end, 1]);
        let values: Vec<u32> = all
            .into_data()
            .iter::<f32>()
            .map(|value| value as u32)
            .collect();
        let mut outputs = Vec::new();
        for (row, values) in values.chunks_exact(end).enumerate() {
            let pad = span.left_pad.get(row).copied().unwrap_or(0);
            let (padding, tokens) = values.split_at(pad);
            assert!(padding.iter().all(|value| *value == 0));
            let hashes = [padding.to_vec(), hashes(tokens)].concat();
            outputs.extend(hashes[past..].iter().map(|hash| *hash as f32));
        }
        Tensor::from_data(TensorData::new(outputs, hidden.dims()), &hidden.device())
    }
}

#[derive(Module, Debug)]
pub(super) struct Hashing<B: Backend> {
    blocks: Vec<HashingBlock<B>>,
    /// The pieces that the model ran.
    #[module(skip)]
    spans: Arc<Mutex<Vec<Span>>>,
}

impl<B: Backend> Hashing<B> {
    pub(super) fn new() -> Self {
        let block = HashingBlock {
            one: Param::from_tensor(Tensor::ones([1], &Default::default())),
        };
        Self {
            blocks: vec![block.clone(), block],
            spans: Arc::default(),
        }
    }

    /// Returns the pieces that the model ran since the last call.
    pub(super) fn take_spans(&self) -> Vec<Span> {
        std::mem::take(&mut *self.spans.lock().expect("no panic meanwhile"))
    }
}

impl<B: Backend> CausalLm<B> for Hashing<B> {
    type Block = HashingBlock<B>;

    fn embed(&self, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        tokens.float().unsqueeze_dim(2)
    }

    fn blocks(&self) -> &[HashingBlock<B>] {
        &self.blocks
    }

    fn context(&self, span: &Span) -> Span {
        self.spans
            .lock()
            .expect("no panic meanwhile")
            .push(span.clone());
        span.clone()
    }

    fn head(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        let [batch, len, _] = hidden.dims();
        let device = hidden.device();
        let data = hidden.into_data();
        let logits: Vec<f32> = data
            .iter::<f32>()
            .flat_map(|hash| logits(hash as u32))
            .collect();
        Tensor::from_data(TensorData::new(logits, [batch, len, VOCAB]), &device)
    }

    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn part_of(&self, _: &str) -> Option<Part> {
        None
    }
}
