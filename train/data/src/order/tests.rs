#![allow(clippy::unwrap_used)]

use super::*;
use crate::batch::tests::any_samples;
use proptest::prelude::*;

fn config(batch_size: usize, gradient_accumulation: usize) -> BatchConfig {
    BatchConfig {
        batch_size,
        gradient_accumulation,
        window: 4,
        seed: 42,
        pad_id: 0,
        packing: None,
        row_len: 0,
    }
}

/// Returns numbered samples with the given lengths.
fn samples(lengths: impl IntoIterator<Item = usize>) -> Vec<Sample> {
    (0..)
        .zip(lengths)
        .map(|(row, len)| Sample::after_prompt(vec![1; len], 0, row))
        .collect()
}

fn batches(samples: &[Sample], config: BatchConfig) -> Result<Batches, DataError> {
    let pool = Pool {
        samples: (0..samples.len() as u32).collect(),
        weight: 1.0,
    };
    let samples: Samples = samples.iter().cloned().collect();
    Batches::new(Arc::new(samples), vec![pool], config)
}

fn rows(step: &Step) -> Vec<u64> {
    step.micro.iter().flat_map(|b| b.row_ids.clone()).collect()
}

fn epoch(samples: &[Sample], config: BatchConfig, epoch: u64) -> Vec<Step> {
    let mut batches = batches(samples, config).unwrap();
    batches.seek(Cursor { epoch, step: 0 }).unwrap();
    let steps = batches.steps_per_epoch() as usize;
    batches.take(steps).map(Result::unwrap).collect()
}

#[test]
fn zero_batch_settings_are_listed() {
    let none = BatchConfig {
        window: 0,
        ..config(0, 0)
    };
    let message = batches(&samples([2]), none).unwrap_err().to_string();
    for part in [
        "batch_size",
        "gradient_accumulation",
        "window",
        "at least 1",
    ] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    let message = batches(&[], config(1, 1)).unwrap_err().to_string();
    assert!(message.ends_with("no samples to train on"), "{message}");
    let error = batches(&samples([2]), config(usize::MAX, 2)).unwrap_err();
    let message = error.to_string();
    for part in [
        "batch_size 18446744073709551615",
        "gradient_accumulation 2",
        "too large",
    ] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
}

#[test]
fn weights_that_leave_an_epoch_empty_are_named() {
    let samples: Samples = samples([2, 3, 4]).iter().cloned().collect();
    let pool = Pool {
        samples: vec![0, 1, 2],
        weight: 0.001,
    };
    let error = Batches::new(Arc::new(samples), vec![pool], config(1, 1)).unwrap_err();
    let message = error.to_string();
    for part in ["no samples to train on", "of 3 samples", "0.001"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn huge_batch_size_gives_single_step() {
    let huge = BatchConfig {
        window: usize::MAX,
        ..config(usize::MAX, 1)
    };
    let steps = epoch(&samples([2, 3, 4]), huge, 0);
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].rows(), 3);
}

#[test]
fn cursor_beyond_epoch_is_rejected() {
    let mut batches = batches(&samples([2; 10]), config(2, 2)).unwrap();
    assert_eq!(batches.steps_per_epoch(), 3);
    let at = |epoch, step| Cursor { epoch, step };
    let message = batches.seek(at(0, 4)).unwrap_err().to_string();
    for part in ["step 4", "3 steps", "batch_size", "gradient_accumulation"] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    batches.seek(at(0, 3)).unwrap();
    assert_eq!(batches.cursor(), at(1, 0));
    batches.seek(at(5, 2)).unwrap();
    assert_eq!(batches.next_step().unwrap().at, at(5, 2));
    assert_eq!(batches.cursor(), at(6, 0));
}

#[test]
fn cursor_serializes_as_json() {
    let cursor = Cursor { epoch: 3, step: 7 };
    let text = serde_json::to_string(&cursor).unwrap();
    assert_eq!(text, r#"{"epoch":3,"step":7}"#);
    assert_eq!(serde_json::from_str::<Cursor>(&text).unwrap(), cursor);
}

/// A resumed run needs the order to stay the same across releases.
#[test]
fn sample_order_is_stable_across_releases() {
    let steps = epoch(&samples([2; 8]), config(2, 1), 1);
    let order: Vec<_> = steps.iter().flat_map(rows).collect();
    assert_eq!(order, [4, 7, 1, 6, 2, 5, 3, 0]);
}

#[test]
fn sample_order_depends_on_epoch_and_seed() {
    let samples = samples([2; 100]);
    let first: Vec<_> = epoch(&samples, config(4, 1), 0).iter().map(rows).collect();
    let second: Vec<_> = epoch(&samples, config(4, 1), 1).iter().map(rows).collect();
    let reseeded = BatchConfig {
        seed: 43,
        ..config(4, 1)
    };
    let other: Vec<_> = epoch(&samples, reseeded, 0).iter().map(rows).collect();
    assert_ne!(first, second);
    assert_ne!(first, other);
}

#[test]
fn window_sorting_reduces_padding() {
    let samples = samples((0..640).map(|i| 2 + (i * 37) % 101));
    let padded = |window| {
        let config = BatchConfig {
            window,
            ..config(8, 1)
        };
        let steps = epoch(&samples, config, 0);
        let lengths: Vec<_> = steps.iter().map(|s| s.micro[0].len).collect();
        let tokens: usize = steps.iter().map(|s| s.micro[0].tokens.len()).sum();
        let rises = lengths.windows(2).filter(|w| w[0] <= w[1]).count();
        (tokens, rises)
    };
    let real: usize = samples.iter().map(|s| s.tokens.len()).sum();
    let (unsorted, _) = padded(1);
    let (sorted, rises) = padded(16);
    assert!(
        sorted - real < (unsorted - real) / 4,
        "{real} {sorted} {unsorted}"
    );
    assert!((20..60).contains(&rises), "{rises} of 79");
}

#[test]
fn a_small_epoch_still_mixes_its_rows() {
    // A single window would group the same rows in every epoch.
    let samples = samples(2..34);
    let wide = BatchConfig {
        window: 1000,
        ..config(4, 1)
    };
    let together = |e| -> Vec<Vec<u64>> {
        let mut steps: Vec<_> = epoch(&samples, wide, e).iter().map(rows).collect();
        steps.sort();
        steps
    };
    assert_ne!(together(0), together(1));
}

proptest! {
    #[test]
    fn every_row_comes_once_an_epoch(
        samples in any_samples(60),
        batch_size in 1..9_usize,
        gradient_accumulation in 1..5_usize,
        window in 1..9_usize,
        seed: u64,
    ) {
        let config = BatchConfig { batch_size, gradient_accumulation, window, seed, pad_id: 2, packing: None, row_len: 0 };
        let batches = batches(&samples, config).unwrap();
        let per_epoch = batches.steps_per_epoch() as usize;
        let steps: Vec<_> = batches.take(3 * per_epoch).map(Result::unwrap).collect();
        for (number, epoch) in steps.chunks(per_epoch).enumerate() {
            let mut seen: Vec<u64> = epoch.iter().flat_map(rows).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples.len() as u64).collect::<Vec<_>>());
            let full = batch_size * gradient_accumulation;
            let smaller = epoch.iter().filter(|s| s.rows() < full).count();
            prop_assert!(smaller <= 1);
            for (index, step) in epoch.iter().enumerate() {
                prop_assert_eq!(step.at, Cursor { epoch: number as u64, step: index as u64 });
                prop_assert!(step.micro.len() <= gradient_accumulation);
                for batch in &step.micro {
                    let longest = batch.row_ids.iter().map(|&r| samples[r as usize].tokens.len());
                    prop_assert_eq!(Some(batch.len), longest.max());
                    prop_assert!(batch.rows <= batch_size);
                }
                let trained: usize =
                    rows(step).iter().map(|&r| samples[r as usize].trained_tokens()).sum();
                prop_assert_eq!(step.trained_tokens(), trained);
            }
        }
    }

    #[test]
    fn step_rows_do_not_depend_on_accumulation(samples in any_samples(60), seed: u64) {
        let split = |batch_size, gradient_accumulation| -> Vec<Vec<u64>> {
            let config = BatchConfig { seed, ..config(batch_size, gradient_accumulation) };
            let batches = batches(&samples, config).unwrap();
            let steps = 2 * batches.steps_per_epoch() as usize;
            batches.take(steps).map(|step| rows(&step.unwrap())).collect()
        };
        let whole = split(8, 1);
        prop_assert_eq!(&split(1, 8), &whole);
        prop_assert_eq!(&split(4, 2), &whole);
        prop_assert_eq!(&split(2, 4), &whole);
    }

    #[test]
    fn batches_resume_at_any_cursor(
        samples in any_samples(40),
        seed: u64,
        at in 0..30_usize,
        packing in prop::option::of(4..30_usize),
    ) {
        let config = BatchConfig { seed, packing, ..config(2, 2) };
        let mut whole = batches(&samples, config).unwrap();
        for _ in 0..at {
            whole.next_step().unwrap();
        }
        let mut resumed = batches(&samples, config).unwrap();
        resumed.seek(whole.cursor()).unwrap();
        for _ in 0..20 {
            prop_assert_eq!(resumed.next_step().unwrap(), whole.next_step().unwrap());
        }
    }

    /// Packing keeps every token of every sample once, within the row length.
    #[test]
    fn packed_steps_hold_every_sample_once_an_epoch(
        samples in any_samples(60),
        most in 12..40_usize,
        seed: u64,
    ) {
        let config = BatchConfig { seed, packing: Some(most), pad_id: 9, ..config(2, 2) };
        let mut batches = batches(&samples, config).unwrap();
        for _ in 0..2 {
            let mut found: Vec<Vec<u32>> = Vec::new();
            let mut trained = 0;
            for _ in 0..batches.steps_per_epoch() {
                for batch in batches.next_step().unwrap().micro {
                    prop_assert!(batch.len <= most);
                    trained += batch.trained_tokens();
                    for row in 0..batch.rows {
                        let tokens = &batch.tokens[row * batch.len..][..batch.len];
                        let starts = batch.starts.get(row).map_or(&[0][..], |starts| starts);
                        let ends = starts[1..].iter().map(|start| start - 1).chain([batch.len]);
                        found.extend(starts.iter().zip(ends).map(|(s, e)| tokens[*s..e].to_vec()));
                    }
                }
            }
            prop_assert_eq!(found.len(), samples.len());
            // The last sample of a row may have padding after it.
            let mut expected: Vec<_> = samples.iter().map(|s| s.tokens.clone()).collect();
            for tokens in &found {
                let same = |sample: &Vec<u32>| {
                    tokens.starts_with(sample) && tokens[sample.len()..].iter().all(|t| *t == 9)
                };
                let at = expected.iter().position(same);
                prop_assert!(at.is_some());
                expected.swap_remove(at.unwrap_or(0));
            }
            let all: usize = samples.iter().map(Sample::trained_tokens).sum();
            prop_assert_eq!(trained, all);
        }
    }
}
