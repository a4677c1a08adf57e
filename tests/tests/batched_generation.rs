//! Batches of any size give every prompt the same tokens as alone.

use bone_llama2::Llama;
use bone_lm::CausalLm;
use bone_lm::generate::{
    BatchConfig, Ended, EndedRow, Event, GenerateConfig, generate, generate_all,
};
use bone_lm::sampling::SamplingConfig;
use bone_rwkv6::Rwkv6;
use bone_tests::fixtures;
use burn::backend::Flex;
use burn::tensor::FloatDType;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Logits nearer than this may swap, depending on the other rows of the batch.
const NEAR: f64 = 1e-4;

fn llama() -> Llama<Flex> {
    Llama::from_folder(&fixtures().join("llama-tiny"), &Default::default(), None).expect("loads")
}

fn rwkv6() -> Rwkv6<Flex> {
    let path = fixtures().join("rwkv6-tiny");
    Rwkv6::from_path(&path, &Default::default(), Some(FloatDType::F32)).expect("loads")
}

/// Prompts of 1 to 23 tokens, none sorted by length.
fn prompts(vocab_size: usize, count: usize) -> Vec<Vec<u32>> {
    let prompt = |row: usize| {
        (0..1 + row * 17 % 23)
            .map(|t| ((row * 31 + t * t * 7 + t) % vocab_size) as u32)
            .collect()
    };
    (0..count).map(prompt).collect()
}

fn config(batch_size: usize) -> BatchConfig {
    BatchConfig {
        batch_size,
        sampling: SamplingConfig::default(),
        max_new_tokens: 40,
        max_positions: Some(50),
        stop: Vec::new(),
        near_tie: Some(NEAR),
    }
}

/// The outcome of a run: the rows by prompt, and how many prompts started after another ended while
/// a third was still running.
struct Ran {
    rows: Vec<EndedRow>,
    refilled: usize,
}

/// Runs the prompts; `stops` returns, for a prompt and its number of tokens, whether the caller stops.
fn run<M: CausalLm<Flex>>(
    model: &M,
    prompts: &[Vec<u32>],
    config: &BatchConfig,
    stops: impl Fn(usize, usize) -> bool,
) -> Ran {
    let mut rows: Vec<Option<EndedRow>> = vec![None; prompts.len()];
    let mut streamed = vec![Vec::new(); prompts.len()];
    let (mut running, mut refilled) = (BTreeSet::new(), 0);
    let mut ended = 0;
    generate_all(model, prompts, config, &Default::default(), |event| {
        match event {
            Event::Token { prompt, token } => {
                streamed[prompt].push(token);
                let new = running.insert(prompt);
                if new && ended > 0 && running.iter().any(|other| streamed[*other].len() > 1) {
                    refilled += 1;
                }
                assert!(running.len() <= config.batch_size);
                if stops(prompt, streamed[prompt].len()) {
                    return ControlFlow::Break(());
                }
            }
            Event::Ended(row) => {
                running.remove(&row.prompt);
                ended += 1;
                assert_eq!(row.tokens, streamed[row.prompt]);
                let prompt = row.prompt;
                assert!(rows[prompt].replace(row).is_none());
            }
        }
        ControlFlow::Continue(())
    })
    .expect("generates");
    let rows = rows.into_iter().map(|row| row.expect("every prompt ends"));
    Ran {
        rows: rows.collect(),
        refilled,
    }
}

/// Returns the greedy tokens of every prompt, generated alone.
fn generate_each_prompt_alone<M: CausalLm<Flex>>(
    model: &M,
    prompts: &[Vec<u32>],
    count: usize,
) -> Vec<Vec<u32>> {
    let config = GenerateConfig {
        sampling: SamplingConfig::default(),
        max_new_tokens: count,
        stop: Vec::new(),
    };
    let alone = |prompt: &Vec<u32>| {
        let prompts = std::slice::from_ref(prompt);
        generate(model, prompts, &config, &Default::default(), |_, _| {}).expect("generates")
    };
    prompts.iter().flat_map(alone).collect()
}

/// Counts the rows that differ from `expected`. A row may differ only after a near tie.
fn differing(rows: &[EndedRow], expected: &[Vec<u32>]) -> usize {
    let mut differing = 0;
    for (row, expected) in rows.iter().zip(expected) {
        if row.tokens != *expected {
            let same = row.tokens.iter().zip(expected).take_while(|(a, b)| a == b);
            let (same, tie) = (same.count(), row.near_tie);
            assert!(
                tie.is_some_and(|tie| tie <= same),
                "prompt {} differs at {same}, its first near tie is {tie:?}",
                row.prompt
            );
            differing += 1;
        }
    }
    differing
}

/// Every batch size gives the same tokens as one prompt at a time, cut where the run ends a row.
fn batches_agree<M: CausalLm<Flex>>(model: &M, name: &str) {
    let prompts = prompts(model.vocab_size(), 20);
    let whole = generate_each_prompt_alone(model, &prompts, 40);
    // A token that ends some rows at different places and never ends others.
    let counts = |token: u32| whole.iter().filter(|row| row.contains(&token)).count();
    let stop = (0..model.vocab_size() as u32)
        .min_by_key(|token| counts(*token).abs_diff(8))
        .expect("a vocabulary");
    let stops_row = |prompt: usize, count: usize| prompt.is_multiple_of(6) && count == 3;
    let mut expected_ends = Vec::new();
    let expected: Vec<Vec<u32>> = whole
        .iter()
        .zip(&prompts)
        .enumerate()
        .map(|(index, (row, prompt))| {
            let allowed = 40.min(50 - prompt.len());
            let stopped = row[..allowed].iter().position(|token| *token == stop);
            let callers = (index % 6 == 0).then_some(3);
            let (len, why) = match (stopped, callers) {
                (Some(at), callers) if callers.is_none_or(|count| at < count) => {
                    (at, Ended::Stop(stop))
                }
                (_, Some(count)) => (count, Ended::Caller),
                _ if allowed == 40 => (40, Ended::MaxNewTokens),
                _ => (allowed, Ended::Positions),
            };
            expected_ends.push(why);
            row[..len].to_vec()
        })
        .collect();
    let kinds: BTreeSet<String> = expected_ends.iter().map(|why| format!("{why:?}")).collect();
    assert_eq!(kinds.len(), 4, "{name}: {kinds:?}");
    let lengths: BTreeSet<usize> = expected.iter().map(Vec::len).collect();
    assert!(lengths.len() > 6, "{name}: {lengths:?}");

    for batch_size in [1, 3, 16] {
        let config = BatchConfig {
            stop: vec![stop],
            ..config(batch_size)
        };
        let ran = run(model, &prompts, &config, stops_row);
        let ties = differing(&ran.rows, &expected);
        println!(
            "{name} {batch_size}: {ties} differ, {} refilled",
            ran.refilled
        );
        assert!(ties <= 2, "{name} {batch_size}: {ties} rows differ");
        for (row, why) in ran.rows.iter().zip(&expected_ends) {
            if row.tokens == expected[row.prompt] {
                assert_eq!(row.why, *why, "{name} {}", row.prompt);
            }
        }
        assert_eq!(ran.refilled >= 4, batch_size > 1, "{}", ran.refilled);
    }
}

#[test]
fn every_batch_size_gives_same_text() {
    batches_agree(&llama(), "llama");
    batches_agree(&rwkv6(), "rwkv6");
}

/// Long enough that LLaMA's cache grows several times while prompts start and end.
fn long_rows_agree<M: CausalLm<Flex>>(model: &M, name: &str) {
    let prompts = prompts(model.vocab_size(), 6);
    let whole = generate_each_prompt_alone(model, &prompts, 200);
    let config = BatchConfig {
        max_new_tokens: 200,
        max_positions: None,
        ..config(2)
    };
    let stops = |prompt: usize, count: usize| count == 200 - 31 * prompt;
    let expected: Vec<Vec<u32>> = whole
        .iter()
        .enumerate()
        .map(|(index, row)| row[..200 - 31 * index].to_vec())
        .collect();
    let ran = run(model, &prompts, &config, stops);
    assert!(differing(&ran.rows, &expected) <= 1, "{name}");
}

#[test]
fn long_rows_give_same_text_in_batches() {
    long_rows_agree(&llama(), "llama");
    long_rows_agree(&rwkv6(), "rwkv6");
}

fn seeds_agree<M: CausalLm<Flex>>(model: &M, name: &str) {
    let prompts = prompts(model.vocab_size(), 20);
    let sampled = |batch_size: usize, seed: u64| {
        let config = BatchConfig {
            sampling: SamplingConfig {
                temperature: 0.9,
                top_p: Some(0.95),
                seed,
                ..Default::default()
            },
            ..config(batch_size)
        };
        let ran = run(model, &prompts, &config, |_, _| false);
        assert!(ran.rows.iter().all(|row| row.near_tie.is_none()));
        ran.rows
    };
    let alone = sampled(1, 4);
    for batch_size in [3, 16] {
        let same = sampled(batch_size, 4)
            .iter()
            .zip(&alone)
            .filter(|(a, b)| a == b)
            .count();
        println!("{name} {batch_size}: {same} of 20 drawn alike");
        assert!(same >= 18, "{name} {batch_size}: {same}");
    }
    // A prompt samples with the seed plus its index, so the neighbouring seed gives other samples.
    assert_ne!(alone, sampled(1, 5));
}

#[test]
fn seed_draws_same_text_in_every_batch_size() {
    seeds_agree(&llama(), "llama");
    seeds_agree(&rwkv6(), "rwkv6");
}

#[test]
fn prompts_that_fill_the_positions_end_at_once() {
    let model = llama();
    let prompts = [49, 50, 51, 90, 2].map(|len| (0..len).map(|t| t % 90).collect::<Vec<u32>>());
    let ran = run(&model, &prompts, &config(2), |_, _| false);
    let ends: Vec<_> = ran
        .rows
        .iter()
        .map(|row| (row.tokens.len(), row.why))
        .collect();
    let expected = [
        (1, Ended::Positions),
        (0, Ended::Positions),
        (0, Ended::PromptTooLong),
        (0, Ended::PromptTooLong),
        (40, Ended::MaxNewTokens),
    ];
    assert_eq!(ends, expected);
}
