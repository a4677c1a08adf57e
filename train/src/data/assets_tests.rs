//! The whole pipeline on real files, where the project's assets are at hand.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::test_tokenizer::Bytes;
use super::*;

/// The folder of datasets, or a line that says the test is skipped.
fn datasets() -> Option<PathBuf> {
    let assets = match std::env::var_os("BONE_ASSETS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/assets"),
    };
    let folder = assets.join("datasets");
    if !folder.is_dir() {
        println!("skipped: assets not found");
        return None;
    }
    Some(folder)
}

fn limits(max_seq_len: usize) -> Limits {
    Limits {
        max_seq_len,
        vocab_size: 258,
    }
}

#[test]
fn metamathqa_rows_are_recognised() {
    let Some(folder) = datasets() else { return };
    let file = read_rows(&folder.join("misc/metamathqa-5-rows.jsonl"), None).unwrap();
    assert_eq!(file.rows.len(), 5);
    assert_eq!(
        file.fields.to_string(),
        "instruction=query,response=response"
    );
    assert!(file.rows[0].instruction.starts_with("Gracie and Joe"));
    assert!(file.rows[0].response.contains("\\boxed{\\sqrt{5}}"));
}

#[test]
fn an_array_of_instruction_rows_is_recognised() {
    let Some(folder) = datasets() else { return };
    let file = read_rows(&folder.join("misc/instruction-rows.json"), None).unwrap();
    assert_eq!(file.format, RowFormat::JsonArray);
    assert_eq!(file.rows.len(), 3260);
    assert!(file.rows[0].instruction.starts_with("Julia played tag"));
}

#[test]
fn gsm8k_goes_from_file_to_steps() {
    let Some(folder) = datasets() else { return };
    let path = folder.join("gsm8k/train.jsonl");
    assert!(matches!(
        read_rows(&path, None),
        Err(RowError::UnknownSchema { .. })
    ));
    let fields: FieldMap = "instruction=question,response=answer".parse().unwrap();
    let file = read_rows(&path, Some(&fields)).unwrap();
    assert_eq!(file.rows.len(), 7473);

    let (samples, dropped) = tokenize(
        &file.rows,
        &Template::Alpaca,
        &Bytes::default(),
        limits(512),
    )
    .unwrap();
    assert_eq!(samples.len() + dropped.rows(), 7473);
    let kept: HashSet<u64> = samples.iter().map(|s| s.row).collect();
    let split = split_validation(samples, Holdout::Share(0.1), 0).unwrap();
    let held_out = (kept.len() as f64 * 0.1).round() as usize;
    assert_eq!(split.validation.len(), held_out);

    let config = BatchConfig {
        batch_size: 4,
        gradient_accumulation: 4,
        window: 16,
        seed: 0,
        pad_id: 0,
    };
    let batches = Batches::new(split.train, config).unwrap();
    let steps = batches.steps_per_epoch() as usize;
    let mut seen: HashSet<u64> = split.validation.iter().map(|s| s.row).collect();
    let (mut tokens, mut padded) = (0, 0);
    for batch in batches.take(steps).flat_map(|step| step.micro) {
        assert!(batch.len <= 512 && batch.trained_tokens() > 0);
        padded += batch.tokens.len();
        tokens += batch.tokens.iter().filter(|&&id| id != 0).count();
        for row in batch.row_ids {
            assert!(seen.insert(row), "row {row} comes twice");
        }
    }
    assert_eq!(seen, kept);
    assert!(
        padded < tokens + tokens / 20,
        "{padded} for {tokens} tokens"
    );
}

#[test]
fn tinyshakespeare_is_cut_into_chunks() {
    let Some(folder) = datasets() else { return };
    let text = read_text(&folder.join("misc/tinyshakespeare.txt")).unwrap();
    let samples = tokenize_text(&text, &Bytes::default(), limits(256)).unwrap();
    let trained: usize = samples.iter().map(|s| s.trained().len()).sum();
    // Every byte and EOS; BOS is read only.
    assert_eq!(trained, text.len() + 1);
}
