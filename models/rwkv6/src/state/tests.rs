//! Rows that were selected and joined continue like sequences that run alone from the start.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::Rwkv6;
use bone_lm::generate::token_tensor;
use bone_lm::{Block, CausalLm, Span};
use burn::backend::Flex;
use burn::tensor::{FloatDType, TensorData};
use std::path::Path;

/// Makes a model with non-initial weights: at the published start no token changes anything. With
/// `initial`, its sequences start from their own state.
fn model(initial: bool) -> Rwkv6<Flex> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rwkv6-tiny");
    let device = Default::default();
    let model = Rwkv6::from_path(&path, &device, Some(FloatDType::F32)).unwrap();
    if !initial {
        return model;
    }
    let mut model = model.with_initial_state().unwrap();
    for block in &mut model.blocks {
        let state = block.att.time_state.take().unwrap();
        block.att.time_state = Some(state.map(|state| {
            let shape = state.dims();
            let values: Vec<f32> = (0..shape.iter().product())
                .map(|i: usize| (i as f32).sin())
                .collect();
            Tensor::from_data(TensorData::new(values, shape), &device)
        }));
    }
    model
}

fn sequence(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32)
        .map(|t| (seed * 7 + t * t + 3 * t) % 50)
        .collect()
}

/// Runs one piece and returns the logits of its last tokens.
fn piece(
    model: &Rwkv6<Flex>,
    tokens: &[u32],
    span: &Span,
    states: &mut [Rwkv6State<Flex>],
) -> Vec<Vec<f32>> {
    let context = model.context(span);
    let tokens = token_tensor(tokens, span.batch, span.len, &Default::default());
    let mut hidden = model.embed(tokens);
    for (block, state) in model.blocks().iter().zip(states) {
        hidden = block.forward(hidden, &context, Some(state));
    }
    let logits = model.head(hidden.narrow(1, span.len - 1, 1)).into_data();
    let logits: Vec<f32> = logits.iter().collect();
    logits
        .chunks_exact(model.vocab_size())
        .map(<[f32]>::to_vec)
        .collect()
}

fn start(model: &Rwkv6<Flex>) -> Vec<Rwkv6State<Flex>> {
    vec![Rwkv6State::default(); model.blocks().len()]
}

/// Returns the states after these sequences, padded on the left to the longest.
fn after(model: &Rwkv6<Flex>, rows: &[Vec<u32>]) -> Vec<Rwkv6State<Flex>> {
    let len = rows.iter().map(Vec::len).max().unwrap();
    let span = Span {
        left_pad: rows.iter().map(|row| len - row.len()).collect(),
        ..Span::whole(rows.len(), len)
    };
    let tokens: Vec<u32> = rows
        .iter()
        .flat_map(|row| [vec![0; len - row.len()], row.clone()].concat())
        .collect();
    let mut states = start(model);
    piece(model, &tokens, &span, &mut states);
    states
}

/// Continues with three tokens and compares every row's logits with those of its sequence alone.
#[track_caller]
fn check(model: &Rwkv6<Flex>, rows: &[Vec<u32>], mut states: Vec<Rwkv6State<Flex>>) {
    let mut rows = rows.to_vec();
    // The padding has passed, so its length must not matter.
    let past = 100;
    for t in 0..3 {
        let next: Vec<u32> = (0..rows.len() as u32).map(|row| row * 11 + t).collect();
        let span = Span {
            past: past + t as usize,
            ..Span::whole(rows.len(), 1)
        };
        let logits = piece(model, &next, &span, &mut states);
        for ((row, next), logits) in rows.iter_mut().zip(next).zip(logits) {
            row.push(next);
            let span = Span::whole(1, row.len());
            let alone = piece(model, row, &span, &mut start(model));
            for (got, expected) in logits.iter().zip(&alone[0]) {
                assert!((got - expected).abs() < 1e-4, "{got}, not {expected}");
            }
        }
    }
}

fn select(states: &mut [Rwkv6State<Flex>], rows: &[i64]) {
    let rows = TensorData::new(rows.to_vec(), [rows.len()]);
    let rows = Tensor::from_data(rows, &Default::default());
    for state in states {
        state.select_rows(&rows);
    }
}

#[test]
fn rows_are_selected_and_appended() {
    for initial in [false, true] {
        let model = model(initial);
        let rows = [sequence(1, 9), sequence(2, 20), sequence(3, 4)];
        let states = after(&model, &rows);
        check(&model, &rows, states.clone());
        for kept in [&[0, 2][..], &[1], &[2, 0, 0]] {
            let mut states = states.clone();
            select(&mut states, kept);
            let mut kept: Vec<_> = kept.iter().map(|row| rows[*row as usize].clone()).collect();
            check(&model, &kept, states.clone());

            let new = [sequence(4, 6), sequence(5, 31)];
            for (state, new) in states.iter_mut().zip(after(&model, &new)) {
                state.append_rows(new);
            }
            kept.extend(new);
            check(&model, &kept, states);
        }
    }
}

/// Padding does not change a recurrent state: the states before and after are equal.
#[test]
fn padding_and_empty_state_change_nothing() {
    let model = model(false);
    let rows = [sequence(1, 9), sequence(2, 20)];
    let mut states = start(&model);
    select(&mut states, &[0]);
    for (state, other) in states.iter_mut().zip(after(&model, &rows)) {
        state.append_rows(other);
        state.append_rows(Rwkv6State::default());
        state.pad_left(7);
        state.trim_left(3);
    }
    check(&model, &rows, states);
}
