//! The library's example trains a fixture.

use std::path::Path;
use std::process::Command;

#[test]
fn training_writes_adapter_and_lowers_loss() {
    let place = tempfile::tempdir().expect("a folder");
    let (rows, out) = (place.path().join("rows.jsonl"), place.path().join("out"));
    let row = |n: usize| {
        let word = ["ab", "cd", "ef", "gh"][n % 4];
        format!("{{\"instruction\": \"say {word} {n}\", \"output\": \"{word}{word}\"}}\n")
    };
    std::fs::write(&rows, (0..40).map(row).collect::<String>()).expect("written");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/llama-tiny");
    let ran = Command::new(env!("CARGO_BIN_EXE_train"))
        .args([&model, &rows, &out])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let (losses, adapter) = said.split_once('\n').expect("two lines");
    let losses = losses.trim_start_matches("losses: [").trim_end_matches(']');
    let losses: Vec<f64> = losses
        .split(", ")
        .map(|loss| loss.parse().expect("a loss"))
        .collect();
    assert_eq!(losses.len(), 20);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[15..]) < 0.8 * mean(&losses[..5]), "{losses:?}");
    let adapter = Path::new(adapter.trim().trim_start_matches("adapter: "));
    assert!(adapter.join("adapter_model.safetensors").is_file());
    // The metrics have the same losses.
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).expect("metrics");
    let steps = metrics
        .lines()
        .filter(|line| line.contains("\"type\":\"step\""));
    assert_eq!(steps.count(), 20);
}
