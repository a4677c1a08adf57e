//! Rows that were selected, joined, padded and trimmed continue like sequences that run alone from
//! the start.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::{Llama, LlamaConfig};
use bone_lm::generate::token_tensor;
use bone_lm::{Block, CausalLm, Span};
use burn::backend::{Autodiff, Flex};
use burn::tensor::TensorData;

const VOCAB: u32 = 20;

/// Makes a model with two query heads for each of two key heads, and weights large enough to tell tokens apart.
fn model<B: Backend>() -> Llama<B> {
    let config = LlamaConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        vocab_size: VOCAB as usize,
        max_position_embeddings: 256,
        rms_norm_eps: 1e-5,
        rope_theta: 1e4,
        tie_word_embeddings: false,
        attention_bias: false,
        mlp_bias: false,
        initializer_range: 0.3,
    };
    Llama::random(config, 5, &Default::default())
}

fn sequence(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32)
        .map(|t| (seed * 7 + t * t + 3 * t) % VOCAB)
        .collect()
}

/// Sequences and their states, which hold all tokens except the last of each.
#[derive(Clone)]
struct Running {
    rows: Vec<Vec<u32>>,
    past: usize,
    states: Vec<KeyValueCache<Flex>>,
}

impl Running {
    /// Runs all tokens except the last of each, padded to the longest and `pad` more.
    fn start(model: &Llama<Flex>, rows: &[Vec<u32>], pad: usize) -> Self {
        let mut running = Self {
            rows: rows
                .iter()
                .map(|row| row[..row.len() - 1].to_vec())
                .collect(),
            past: 0,
            states: vec![Default::default(); model.blocks().len()],
        };
        let longest = rows.iter().map(|row| row.len() - 1).max().unwrap();
        running.piece(model, longest + pad);
        for (running, row) in running.rows.iter_mut().zip(rows) {
            running.push(*row.last().unwrap());
        }
        running
    }

    /// Runs the tokens up to `end` that the states lack, and returns the logits of the last.
    fn piece(&mut self, model: &Llama<Flex>, end: usize) -> Vec<f32> {
        let mut tokens = Vec::new();
        for row in &self.rows {
            let padded = [vec![0; end - row.len()], row.clone()].concat();
            tokens.extend(&padded[self.past..]);
        }
        let span = Span {
            batch: self.rows.len(),
            past: self.past,
            len: end - self.past,
            left_pad: self.rows.iter().map(|row| end - row.len()).collect(),
            starts: Vec::new(),
        };
        let context = model.context(&span);
        let tokens = token_tensor(&tokens, span.batch, span.len, &Default::default());
        let mut hidden = model.embed(tokens);
        for (block, state) in model.blocks().iter().zip(&mut self.states) {
            hidden = block.forward(hidden, &context, Some(state));
        }
        self.past = end;
        let last = hidden.narrow(1, span.len - 1, 1);
        model.head(last).into_data().iter::<f32>().collect()
    }

    /// Continues for `count` tokens and compares every row's logits with those of a single pass
    /// over its sequence alone.
    #[track_caller]
    fn check(&mut self, model: &Llama<Flex>, count: usize) {
        for t in 0..count {
            let logits = self.piece(model, self.past + 1);
            for (row, logits) in self.rows.iter().zip(logits.chunks_exact(VOCAB as usize)) {
                let tokens = token_tensor(row, 1, row.len(), &Default::default());
                let whole = model.forward(tokens).narrow(1, row.len() - 1, 1);
                for (got, expected) in logits.iter().zip(whole.into_data().iter::<f32>()) {
                    let off = (got - expected).abs();
                    assert!(off < 1e-4, "token {t} after {}: {off}", row.len());
                }
            }
            for (row, tokens) in self.rows.iter_mut().enumerate() {
                tokens.push((row * 5 + t * 3) as u32 % VOCAB);
            }
        }
    }

    fn each(&mut self, change: impl Fn(&mut KeyValueCache<Flex>)) {
        self.states.iter_mut().for_each(change);
    }

    fn select(&mut self, rows: &[usize]) {
        let indices: Vec<i64> = rows.iter().map(|row| *row as i64).collect();
        let indices = TensorData::new(indices, [rows.len()]);
        let indices = Tensor::from_data(indices, &Default::default());
        self.each(|state| state.select_rows(&indices));
        self.rows = rows.iter().map(|row| self.rows[*row].clone()).collect();
    }

    fn append(&mut self, other: Self) {
        assert_eq!(self.past, other.past);
        self.rows.extend(other.rows);
        for (state, other) in self.states.iter_mut().zip(other.states) {
            state.append_rows(other);
        }
    }

    fn pad(&mut self, count: usize) {
        self.each(|state| state.pad_left(count));
        self.past += count;
    }

    fn trim(&mut self, count: usize) {
        self.each(|state| state.trim_left(count));
        self.past -= count;
    }
}

/// Lengths on both sides of an allocation.
const LENGTHS: [usize; 4] = [2, 17, 62, 66];

#[test]
fn cache_grows_beyond_its_room_token_by_token() {
    let model = model::<Flex>();
    for len in LENGTHS {
        Running::start(&model, &[sequence(1, len)], 0).check(&model, 70);
    }
    let rows = [sequence(1, 60), sequence(2, 3), sequence(3, 61)];
    Running::start(&model, &rows, 0).check(&model, 70);
}

#[test]
fn rows_are_selected() {
    let model = model::<Flex>();
    for len in LENGTHS {
        let rows = [sequence(1, len), sequence(2, len + 4), sequence(3, len + 1)];
        for kept in [&[0, 2][..], &[1], &[2, 0, 0], &[0, 1, 2]] {
            let mut running = Running::start(&model, &rows, 0);
            running.select(kept);
            running.check(&model, 3);
            running.select(&[0]);
            running.check(&model, 2);
        }
    }
}

#[test]
fn padding_is_lengthened_and_shortened() {
    let model = model::<Flex>();
    for len in LENGTHS {
        let rows = [sequence(1, len), sequence(2, len + 4)];
        for pad in [0, 1, 5, 64, 70] {
            let mut running = Running::start(&model, &rows, 0);
            running.pad(pad);
            running.check(&model, 3);
            running.pad(2);
            running.trim(pad);
            running.check(&model, 2);
            running.trim(2);
            running.check(&model, 2);

            // Padding that has passed through the model.
            let mut running = Running::start(&model, &rows, pad);
            running.check(&model, 2);
            running.select(&[0]);
            running.trim(4 + pad);
            assert_eq!(running.past + 1, running.rows[0].len());
            running.check(&model, 2);
        }
    }
}

#[test]
fn rows_are_appended() {
    let model = model::<Flex>();
    for len in LENGTHS {
        let first = Running::start(&model, &[sequence(1, len + 3), sequence(2, len)], 0);
        for other in [2, 40, 66, 80] {
            let mut running = first.clone();
            running.check(&model, 2);
            let mut new = Running::start(&model, &[sequence(4, other)], 0);
            let past = running.past.max(new.past);
            running.pad(past - running.past);
            new.pad(past - new.past);
            running.append(new);
            running.check(&model, 3);
        }
    }
}

#[test]
fn empty_cache_accepts_every_operation() {
    let model = model::<Flex>();
    let started = Running::start(&model, &[sequence(1, 9), sequence(2, 4)], 0);
    let mut states: Vec<KeyValueCache<Flex>> = vec![Default::default(); 2];
    let row = Tensor::from_data([0], &Default::default());
    for (state, started) in states.iter_mut().zip(&started.states) {
        state.pad_left(3);
        state.trim_left(2);
        state.select_rows(&row);
        state.append_rows(started.clone());
        state.append_rows(KeyValueCache::default());
    }
    Running { states, ..started }.check(&model, 3);
}

/// A token is written in place, but never into a shared tensor.
#[test]
fn cloned_cache_keeps_its_values() {
    let model = model::<Flex>();
    for len in LENGTHS {
        let mut one = Running::start(&model, &[sequence(1, len)], 0);
        one.check(&model, 1);
        let mut other = one.clone();
        *other.rows[0].last_mut().unwrap() += 1;
        let mut third = one.clone();
        one.check(&model, 2);
        other.check(&model, 3);
        third.check(&model, 1);
    }
}

/// Token by token on a graph gives the values and gradients of whole sequences.
#[test]
fn pieces_on_graph_have_gradients_of_whole_sequence() {
    type B = Autodiff<Flex>;
    let model = bone::unfreeze_all(model::<B>());
    let device = Default::default();
    let (batch, len) = (2, 9);
    let tokens = [sequence(1, len), sequence(2, len)].concat();
    let whole = model.forward(token_tensor(&tokens, batch, len, &device));

    let gradients = |logits: Tensor<B, 3>| {
        let grads = logits.powi_scalar(2).sum().backward();
        let block = &model.model.layers[0].self_attn;
        [&block.q_proj, &block.k_proj, &block.v_proj].map(|layer| {
            let grad = layer.weight.val().grad(&grads).unwrap();
            grad.into_data().iter::<f32>().collect::<Vec<_>>()
        })
    };
    let expected_logits = whole.clone().inner();
    let expected_gradients = gradients(whole);
    for pieces in [&[1; 9][..], &[4, 1, 1, 3], &[8, 1]] {
        let mut states = vec![KeyValueCache::<B>::default(); 2];
        let (mut past, mut outputs) = (0, Vec::new());
        for &size in pieces {
            let part: Vec<u32> = tokens
                .chunks_exact(len)
                .flat_map(|row| row[past..past + size].to_vec())
                .collect();
            let context = model.context(&Span {
                past,
                ..Span::whole(batch, size)
            });
            let mut hidden = model.embed(token_tensor(&part, batch, size, &device));
            for (block, state) in model.blocks().iter().zip(&mut states) {
                hidden = block.forward(hidden, &context, Some(state));
            }
            outputs.push(model.head(hidden));
            past += size;
        }
        let logits = cat(outputs, 1);
        let off = logits.clone().inner() - expected_logits.clone();
        let off = off.abs().max().into_scalar();
        assert!(off < 1e-4, "{pieces:?}: {off}");
        for (got, expected) in gradients(logits).iter().zip(&expected_gradients) {
            let scale = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
            assert!(scale > 0.0);
            for (got, expected) in got.iter().zip(expected) {
                let off = (got - expected).abs() / scale;
                assert!(off < 1e-4, "{pieces:?}: {off}");
            }
        }
    }
}

/// A state with room continues on a graph, and the reverse.
#[test]
fn cache_converts_between_plain_and_autodiff() {
    use burn::module::AutodiffModule;
    type B = Autodiff<Flex>;
    let tracked = model::<B>();
    let model = tracked.valid();
    let mut running = Running::start(&model, &[sequence(1, 12)], 0);
    running.check(&model, 2);
    let mut states: Vec<_> = running
        .states
        .drain(..)
        .map(KeyValueCache::<B>::from_inner)
        .collect();
    let row = running.rows[0].clone();
    let context = tracked.context(&Span {
        past: running.past,
        ..Span::whole(1, 1)
    });
    let last = token_tensor(&row[running.past..], 1, 1, &Default::default());
    let mut hidden = tracked.embed(last);
    for (block, state) in tracked.blocks().iter().zip(&mut states) {
        hidden = block.forward(hidden, &context, Some(state));
    }
    let whole = model.forward(token_tensor(&row, 1, row.len(), &Default::default()));
    let expected = whole.narrow(1, row.len() - 1, 1);
    let off = (tracked.head(hidden).inner() - expected).abs().max();
    assert!(off.into_scalar() < 1e-4);
    running.states = states.iter().map(AutodiffModule::valid).collect();
    running.past += 1;
    running.rows[0].push(4);
    running.check(&model, 2);
}
