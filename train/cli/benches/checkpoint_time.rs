//! The cost of checkpoints: the same run with a checkpoint every 20 steps and without checkpoints.
//!
//! `cargo bench -p bone-cli --bench checkpoint_time` trains a random LLaMA of 384 × 6, vocabulary 8,000,
//! bone of rank 64, 4 × 128 tokens, for 119 steps. The two variants alternate, each in its own process. It
//! prints their tokens per second over all steps, including the time between steps, and the ratio.
//! `-- --rounds N` sets the number of rounds (default: 3).

use bone_cli::commands::bench::random::RandomModel;
use bone_train::models::Architecture;
use burn::tensor::DType;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The last checkpoint comes after the last step, so five are between the first step and the last.
const STEPS: &str = "119";

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let rounds = words.iter().position(|word| word == "--rounds");
    let rounds = rounds.and_then(|at| words.get(at + 1)?.parse().ok());
    let rounds: usize = rounds.unwrap_or(3);
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    let random = RandomModel {
        architecture: Architecture::Llama2,
        hidden_size: 384,
        intermediate_size: Some(1024),
        layers: 6,
        heads: Some(6),
        kv_heads: None,
        vocab_size: 8000,
    };
    random
        .write(&place.join("model"), 256, DType::F32)
        .expect("written");
    let rows: String = (0..400)
        .map(|row| format!("{{\"text\": \"{}\"}}\n", format!("row {row} ").repeat(16)))
        .collect();
    std::fs::write(place.join("rows.jsonl"), rows).expect("written");

    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        without.push(run(place, &format!("without-{round}"), &[]));
        with.push(run(
            place,
            &format!("with-{round}"),
            &["--save-every", "20"],
        ));
    }
    println!("tokens/s, a round each");
    for (name, all) in [("without", &without), ("with", &with)] {
        let all: Vec<_> = all.iter().map(|rate| format!("{rate:7.1}")).collect();
        println!("{name:<8}{}", all.join(""));
    }
    let best = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
    let (with, without) = (best(&with), best(&without));
    println!("the fastest of each");
    println!("without checkpoints       {without:9.1}");
    println!("one every 20 steps        {with:9.1}");
    println!("ratio                     {:9.3}", with / without);
}

/// Returns the tokens per second of a run, from the report of the first step to that of the last.
fn run(place: &Path, name: &str, more: &[&str]) -> f64 {
    let out = place.join(name);
    let paths = [place.join("model"), place.join("rows.jsonl"), out.clone()];
    let [model, rows, to] = paths.each_ref().map(|path| path.to_str().expect("UTF-8"));
    let ran = Command::new(env!("CARGO_BIN_EXE_bone"))
        .args([
            "train",
            "--model",
            model,
            "--data",
            rows,
            "--out",
            to,
            "--max-steps",
            STEPS,
        ])
        .args(
            "--tokenizer bytes --schema text --validation 0 --device cpu --batch-size 4".split(' '),
        )
        .args("--max-seq-len 128 --method bone --rank 64 --save-minutes 0".split(' '))
        .args(more)
        .output()
        .expect("starts");
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).expect("there");
    let steps: Vec<Value> = metrics
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let tokens: f64 = steps[1..]
        .iter()
        .filter_map(|step| step["tokens_processed"].as_f64())
        .sum();
    let at = |step: &Value| step["at"].as_f64().expect("a time");
    let (first, last) = (&steps[0], steps.last().expect("steps"));
    std::fs::remove_dir_all(&out).expect("removed");
    tokens / (at(last) - at(first))
}
