use super::row::Row;
use super::{BatchConfig, Ended, Event, GenerateError, token_tensor};
use crate::{Backend, Block, BlockState, CausalLm, Span};
use burn::tensor::{DType, Int, Tensor, TensorData};
use std::ops::ControlFlow;

/// Sequences that go through the model together.
///
/// Sequences are aligned at their last tokens; shorter ones have padding on the left. The longest
/// has none, so the states never hold more than its tokens.
pub(super) struct Batch<'a, B: Backend, M: CausalLm<B>> {
    model: &'a M,
    device: &'a B::Device,
    rows: Vec<Row>,
    /// Number of tokens per row in the states, including padding.
    past: usize,
    states: Vec<<M::Block as Block<B>>::State>,
}

impl<'a, B: Backend, M: CausalLm<B>> Batch<'a, B, M> {
    /// Makes a batch of sequences that have not passed through the model yet.
    pub(super) fn of(rows: Vec<Row>, model: &'a M, device: &'a B::Device) -> Self {
        Self {
            model,
            device,
            rows,
            past: 0,
            states: start(model),
        }
    }

    /// Returns the number of sequences.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Runs the tokens that the states lack, gives every sequence its next token, and removes
    /// sequences that end with it. Breaks when `on_event` ends the run.
    pub(super) fn advance(
        &mut self,
        config: &BatchConfig,
        on_event: &mut impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, GenerateError> {
        if self.rows.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let logits = self.next_logits();
        let mut kept = Vec::with_capacity(self.rows.len());
        let vocab_size = self.model.vocab_size();
        for (index, (row, logits)) in self
            .rows
            .iter_mut()
            .zip(logits.chunks_exact(vocab_size))
            .enumerate()
        {
            let prompt = row.prompt();
            let ended = match row.choose(logits, config)? {
                Err(stop) => Some(stop),
                Ok(token) if on_event(Event::Token { prompt, token }).is_break() => {
                    Some(Ended::Caller)
                }
                Ok(_) => row.at_limit(),
            };
            match ended {
                None => kept.push(index),
                Some(why) => {
                    if on_event(Event::Ended(row.end(why))).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        self.keep(&kept);
        Ok(ControlFlow::Continue(()))
    }

    /// Runs the tokens that the states lack and returns the logits of the last,
    /// `[batch · vocab_size]`.
    fn next_logits(&mut self) -> Vec<f32> {
        let (batch, past) = (self.rows.len(), self.past);
        let end = self.longest();
        let mut left_pad = Vec::with_capacity(batch);
        let mut input = Vec::with_capacity(batch * (end - past));
        for row in &self.rows {
            let tokens = row.tokens();
            let pad = end - tokens.len();
            input.extend((past..pad).map(|_| 0));
            input.extend(&tokens[past.saturating_sub(pad)..]);
            left_pad.push(pad);
        }
        if left_pad.iter().all(|pad| *pad == 0) {
            left_pad.clear();
        }
        let span = Span {
            batch,
            past,
            len: end - past,
            left_pad,
            starts: Vec::new(),
        };
        self.past = end;

        let context = self.model.context(&span);
        let tokens = token_tensor(&input, batch, span.len, self.device);
        let mut hidden = self.model.embed(tokens);
        for (block, state) in self.model.blocks().iter().zip(&mut self.states) {
            hidden = block.forward(hidden, &context, Some(state));
        }
        let [batch, len, size] = hidden.dims();
        let last = hidden.slice([0..batch, len - 1..len, 0..size]);
        let logits = self.model.head(last).into_data().convert_dtype(DType::F32);
        logits.iter::<f32>().collect()
    }

    /// Returns the number of tokens of the longest sequence.
    fn longest(&self) -> usize {
        let lengths = self.rows.iter().map(|row| row.tokens().len());
        lengths.max().unwrap_or(0)
    }

    /// Keeps only the sequences with these indices, in order. Each has one token that the states
    /// lack.
    fn keep(&mut self, kept: &[usize]) {
        if kept.len() == self.rows.len() {
            return;
        }
        if kept.is_empty() {
            *self = Self::of(Vec::new(), self.model, self.device);
            return;
        }
        let indices: Vec<i32> = kept.iter().map(|index| *index as i32).collect();
        let indices = TensorData::new(indices, [kept.len()]);
        let indices = Tensor::<B, 1, Int>::from_data(indices, self.device);
        self.rows = std::mem::take(&mut self.rows)
            .into_iter()
            .enumerate()
            .filter(|(index, _)| kept.binary_search(index).is_ok())
            .map(|(_, row)| row)
            .collect();
        let past = self.longest() - 1;
        for state in &mut self.states {
            state.select_rows(&indices);
            state.trim_left(self.past - past);
        }
        self.past = past;
    }

    /// Appends the sequences of `other`. In both batches, each sequence has one token that the
    /// states lack.
    pub(super) fn join(&mut self, mut other: Self) {
        if other.rows.is_empty() {
            return;
        }
        let past = self.past.max(other.past);
        self.pad(past);
        other.pad(past);
        self.rows.append(&mut other.rows);
        for (own, new) in self.states.iter_mut().zip(other.states) {
            own.append_rows(new);
        }
    }

    /// Extends the padding until the states hold `past` tokens.
    fn pad(&mut self, past: usize) {
        for state in &mut self.states {
            state.pad_left(past - self.past);
        }
        self.past = past;
    }
}

/// Returns the states at a sequence's start, one per block.
fn start<B: Backend, M: CausalLm<B>>(model: &M) -> Vec<<M::Block as Block<B>>::State> {
    vec![Default::default(); model.blocks().len()]
}
