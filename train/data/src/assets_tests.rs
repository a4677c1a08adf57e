//! Tests of the whole pipeline on real files, if the project's assets are present.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::test_tokenizer::Bytes;
use super::*;
use crate::load::{self, Reading};

/// Returns the folder of datasets, or prints that the test is skipped.
fn datasets() -> Option<PathBuf> {
    let assets = match std::env::var_os("BONE_ASSETS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets"),
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

fn rows(path: &Path) -> (Vec<Row>, RowFile) {
    let mut reader = RowReader::open(path, 0..u64::MAX, None).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        rows.push(row);
    }
    (rows, reader.finish().unwrap())
}

fn single(row: &Row) -> (&str, &str) {
    match &row.content {
        Content::Single {
            instruction,
            response,
            ..
        } => (instruction, response),
        other => panic!("{other:?}"),
    }
}

#[test]
fn metamathqa_rows_are_recognised() {
    let Some(folder) = datasets() else { return };
    let (rows, file) = rows(&folder.join("misc/metamathqa-5-rows.jsonl"));
    assert_eq!(rows.len(), 5);
    assert_eq!(
        file.schema.to_string(),
        "instruction=query,response=response"
    );
    let (instruction, response) = single(&rows[0]);
    assert!(instruction.starts_with("Gracie and Joe"));
    assert!(response.contains("\\boxed{\\sqrt{5}}"));
}

#[test]
fn an_array_of_instruction_rows_is_recognised() {
    let Some(folder) = datasets() else { return };
    let (rows, file) = rows(&folder.join("misc/instruction-rows.json"));
    assert_eq!(file.format.to_string(), "JSON array");
    assert_eq!(rows.len(), 3260);
    assert!(single(&rows[0]).0.starts_with("Julia played tag"));
}

#[test]
fn rows_of_text_are_recognised() {
    let Some(folder) = datasets() else { return };
    let (rows, file) = rows(&folder.join("misc/text-rows.jsonl"));
    assert_eq!((rows.len(), file.schema), (182, Schema::Text));
}

#[test]
fn gsm8k_file_becomes_training_steps() {
    let Some(folder) = datasets() else { return };
    let reading = Reading {
        schema: None,
        template: &Template::Alpaca,
        tokenizer: &Bytes::default(),
        limits: limits(512),
    };
    let sources: Sources = folder.join("gsm8k/train.jsonl").into();
    let found = load::read(&sources, reading).unwrap();
    let (samples, reports) = (found.samples, found.reports);
    assert_eq!(samples.len(), found.pools[0].samples.len());
    assert_eq!(reports[0].rows, 7473);
    assert_eq!(samples.len() + reports[0].dropped.rows(), 7473);
    let split = split_validation(&samples, Holdout::Share(0.1), 0).unwrap();
    let held_out = (samples.len() as f64 * 0.1).round() as usize;
    assert_eq!(split.validation.len(), held_out);
    let row = |number: &u32| samples.read(*number).unwrap().row;
    let mut seen: HashSet<u64> = split.validation.iter().map(row).collect();

    let config = BatchConfig {
        batch_size: 4,
        gradient_accumulation: 4,
        window: 16,
        seed: 0,
        pad_id: 0,
        packing: None,
        row_len: 0,
    };
    let pool = Pool {
        samples: split.train,
        weight: 1.0,
    };
    let all = samples.len();
    let batches = Batches::new(samples, vec![pool], config).unwrap();
    let steps = batches.steps_per_epoch() as usize;
    let (mut tokens, mut padded) = (0, 0);
    for batch in batches.take(steps).flat_map(|step| step.unwrap().micro) {
        assert!(batch.len <= 512 && batch.trained_tokens() > 0);
        padded += batch.tokens.len();
        tokens += batch.tokens.iter().filter(|&&id| id != 0).count();
        for row in batch.row_ids {
            assert!(seen.insert(row), "row {row} comes twice");
        }
    }
    assert_eq!(seen.len(), all);
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
    let trained: usize = samples.iter().map(Sample::trained_tokens).sum();
    // Every byte and EOS are trained; BOS is not.
    assert_eq!(trained, text.len() + 1);
}
