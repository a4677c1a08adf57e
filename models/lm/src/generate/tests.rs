//! Every prompt gets the same result as alone, whatever runs beside it.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::Span;
use crate::sampling::Sampler;
use burn::backend::Flex;
use hashing::{Hashing, VOCAB, expected};
use proptest::prelude::*;
use std::collections::BTreeSet;

mod hashing;

/// Returns the result of a prompt alone, computed without the model.
fn alone(index: usize, prompt: &[u32], config: &BatchConfig, callers: Option<u32>) -> EndedRow {
    let mut sampling = config.sampling.clone();
    sampling.seed += index as u64;
    let mut sampler = Sampler::new(sampling).unwrap();
    let (mut history, mut tokens) = (prompt.to_vec(), Vec::new());
    let mut near_tie = None;
    let positions = config.max_positions.unwrap_or(usize::MAX);
    let why = loop {
        if history.len() > positions {
            break Ended::PromptTooLong;
        } else if tokens.len() == config.max_new_tokens {
            break Ended::MaxNewTokens;
        } else if history.len() == positions {
            break Ended::Positions;
        }
        let logits = expected(&history);
        let tie = is_tie(&logits, &history, config);
        let token = sampler.sample(&logits, &history).unwrap();
        if tie && config.near_tie.is_some() && config.sampling.temperature == 0.0 {
            near_tie = near_tie.or(Some(tokens.len()));
        }
        if config.stop.contains(&token) {
            break Ended::Stop(token);
        }
        history.push(token);
        tokens.push(token);
        if callers == Some(token) {
            break Ended::Caller;
        }
    };
    EndedRow {
        prompt: index,
        tokens,
        why,
        near_tie,
    }
}

/// Returns whether the best two scores are practically equal.
fn is_tie(logits: &[f32], history: &[u32], config: &BatchConfig) -> bool {
    let penalty = f64::from(config.sampling.repetition_penalty);
    let score = |token: usize| match (f64::from(logits[token]), history.contains(&(token as u32))) {
        (logit, true) if logit > 0.0 => logit / penalty,
        (logit, true) => logit * penalty,
        (logit, false) => logit,
    };
    let mut scores: Vec<f64> = (0..logits.len()).map(score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores[0] - scores[1] < 1e-3
}

/// Runs the prompts and checks the properties of every run. Returns the rows by prompt, the number
/// of prompts that began beside running ones, and the pieces.
fn run(
    prompts: &[Vec<u32>],
    config: &BatchConfig,
    callers: Option<u32>,
) -> (Vec<EndedRow>, usize, Vec<Span>) {
    let model = Hashing::<Flex>::new();
    let mut rows: Vec<Option<EndedRow>> = vec![None; prompts.len()];
    let mut streamed = vec![Vec::new(); prompts.len()];
    let (mut running, mut refilled) = (BTreeSet::new(), 0);
    let mut ended_before = false;
    generate_all(&model, prompts, config, &Default::default(), |event| {
        match event {
            Event::Token { prompt, token } => {
                assert!(rows[prompt].is_none(), "a token after the end");
                streamed[prompt].push(token);
                if running.insert(prompt) && ended_before && running.len() > 1 {
                    refilled += 1;
                }
                assert!(running.len() <= config.batch_size.max(1));
                if callers == Some(token) {
                    return ControlFlow::Break(());
                }
            }
            Event::Ended(row) => {
                ended_before |= running.remove(&row.prompt);
                assert_eq!(row.tokens, streamed[row.prompt]);
                let prompt = row.prompt;
                assert!(rows[prompt].replace(row).is_none(), "two ends");
            }
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let rows = rows.into_iter().map(Option::unwrap).collect();
    (rows, refilled, model.take_spans())
}

fn config(batch_size: usize) -> BatchConfig {
    BatchConfig {
        batch_size,
        sampling: SamplingConfig::default(),
        max_new_tokens: 9,
        max_positions: None,
        stop: vec![3],
        near_tie: Some(1e-3),
    }
}

fn prompts(count: usize) -> Vec<Vec<u32>> {
    let prompt = |row: usize| {
        (0..1 + row * 5 % 7)
            .map(|t| ((row + 3 * t) % VOCAB) as u32)
            .collect()
    };
    (0..count).map(prompt).collect()
}

/// Returns whether no piece has padding in all its rows: the states hold at most the longest
/// sequence.
fn no_common_padding(spans: &[Span]) -> bool {
    spans
        .iter()
        .all(|span| span.left_pad.is_empty() || span.left_pad.contains(&0))
}

proptest! {
    #[test]
    fn batched_prompt_generates_as_alone(
        prompts in prop::collection::vec(
            prop::collection::vec(0..VOCAB as u32, 1..9), 0..24,
        ),
        batch_size in 0..20_usize,
        max_new_tokens in 0..12_usize,
        max_positions in prop::option::of(0..14_usize),
        stop in prop::collection::vec(0..VOCAB as u32, 0..3),
        callers in prop::option::of(0..VOCAB as u32),
        near_tie in prop::option::of(Just(1e-3)),
        temperature in prop_oneof![Just(0.0), Just(1.5)],
        repetition_penalty in prop_oneof![Just(1.0f32), Just(1.2)],
    ) {
        let sampling = SamplingConfig { temperature, repetition_penalty, ..Default::default() };
        let config = BatchConfig {
            batch_size, sampling, max_new_tokens, max_positions, stop, near_tie,
        };
        let (rows, _, spans) = run(&prompts, &config, callers);
        for (row, prompt) in rows.iter().zip(&prompts) {
            prop_assert_eq!(row, &alone(row.prompt, prompt, &config, callers));
        }
        prop_assert!(no_common_padding(&spans));
        prop_assert!(spans.iter().all(|span| span.batch <= batch_size.max(1)));
    }
}

#[test]
fn ended_rows_are_refilled_during_generation() {
    let prompts = prompts(40);
    for batch_size in [1, 3, 8, 16] {
        let config = config(batch_size);
        let (rows, refilled, spans) = run(&prompts, &config, None);
        let lengths: BTreeSet<_> = rows.iter().map(|row| row.tokens.len()).collect();
        assert!(lengths.len() > 4, "{lengths:?}");
        assert_eq!(refilled > 10, batch_size > 1, "{refilled}");
        assert!(rows.iter().any(|row| row.near_tie.is_some()));
        // The batches contain first pieces of several prompts, and mix old and new sequences.
        let first = |span: &&Span| span.past == 0;
        let taken: usize = spans.iter().filter(first).map(|span| span.batch).sum();
        assert_eq!(taken, prompts.len());
        let most = spans.iter().map(|span| span.batch).max();
        assert_eq!(most, Some(batch_size));
        assert!(no_common_padding(&spans));
        assert!(spans.iter().all(|span| span.past < 7 + 9));
    }
}

/// A refill waits until 2 of 16 rows are free, so only the last prompt starts alone.
#[test]
fn new_prompts_enter_batch_in_groups() {
    let config = config(16);
    let (_, _, spans) = run(&prompts(41), &config, None);
    let first = spans.iter().filter(|span| span.past == 0);
    let taken: Vec<_> = first.map(|span| span.batch).collect();
    assert_eq!(taken[0], 16);
    assert_eq!(taken.iter().sum::<usize>(), 41);
    let (_, before) = taken.split_last().unwrap();
    assert!(before.iter().all(|batch| *batch >= 2), "{taken:?}");
    assert!(before.len() > 5, "{taken:?}");
}

#[test]
fn break_stops_generation_of_remaining_prompts() {
    let model = Hashing::<Flex>::new();
    let prompts = prompts(20);
    let mut ended = 0;
    generate_all(&model, &prompts, &config(4), &Default::default(), |event| {
        let Event::Ended(_) = event else {
            return ControlFlow::Continue(());
        };
        ended += 1;
        if ended == 3 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(ended, 3);
    // Nothing runs if every prompt ends before it begins, also after a break.
    let mut config = config(4);
    config.max_positions = Some(0);
    model.take_spans();
    let mut whys = Vec::new();
    generate_all(&model, &prompts, &config, &Default::default(), |event| {
        let Event::Ended(row) = event else {
            panic!("a token past the positions")
        };
        whys.push(row.why);
        if whys.len() == 2 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(whys, [Ended::PromptTooLong; 2]);
    assert!(model.take_spans().is_empty());
}

#[test]
fn generate_equals_each_prompt_alone() {
    let model = Hashing::<Flex>::new();
    let prompts = prompts(7);
    let plain = GenerateConfig {
        sampling: SamplingConfig {
            temperature: 1.5,
            seed: 11,
            ..Default::default()
        },
        max_new_tokens: 9,
        stop: vec![3],
    };
    let mut streamed = vec![Vec::new(); prompts.len()];
    let device = Default::default();
    let texts = generate(&model, &prompts, &plain, &device, |prompt, token| {
        streamed[prompt].push(token);
    })
    .unwrap();
    assert_eq!(texts, streamed);
    let batched = BatchConfig {
        sampling: plain.sampling,
        near_tie: None,
        ..config(1)
    };
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(*text, alone(index, &prompts[index], &batched, None).tokens);
    }
    let spans = model.take_spans();
    assert_eq!(spans.iter().filter(|span| span.past == 0).count(), 1);
    assert!(spans.last().unwrap().batch < prompts.len());
}

#[test]
fn invalid_prompts_and_settings_fail_before_generation() {
    let model = Hashing::<Flex>::new();
    let try_with = |prompts: &[Vec<u32>], config: &BatchConfig| {
        let error = generate_all(&model, prompts, config, &Default::default(), |_| {
            panic!("nothing may happen")
        });
        error.expect_err("unusable").to_string()
    };
    let error = try_with(&[vec![1], vec![]], &config(1));
    assert!(error.contains("prompt 2 is empty"), "{error}");
    let error = try_with(&[vec![1], vec![2, VOCAB as u32]], &config(1));
    for part in ["prompt 2 ", "token 13", "13 tokens"] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    let mut wrong = config(1);
    wrong.sampling.temperature = -1.0;
    let error = try_with(&[], &wrong);
    assert!(error.contains("temperature"), "{error}");
    assert!(model.take_spans().is_empty());
}
