//! The committed configurations on a real trained model, from rows to a merged model. Needs the
//! assets (`BONE_ASSETS` or `../shared/assets`) and says so where they are not.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn assets() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/assets");
    let folder = std::env::var_os("BONE_ASSETS").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        Some(folder)
    } else {
        println!("skipped: assets not found");
        None
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn bone(args: &[&str]) -> String {
    run(env!("CARGO_BIN_EXE_bone"), args)
}

/// Trains with a committed configuration, merges, and compares greedy texts.
fn train_merge_generate(config: &str, model: &Path, rows: &Path, prompt: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let config = examples.join("configs").join(config);
    let folder = tempfile::tempdir().expect("a folder");
    let (out, merged) = (folder.path().join("out"), folder.path().join("merged"));
    let text = |path: &Path| path.to_str().expect("UTF-8").to_string();
    let (model, out, merged) = (text(model), text(&out), text(&merged));
    bone(&[
        "train",
        &text(&config),
        "--model",
        &model,
        "--data",
        &text(rows),
        "--out",
        &out,
    ]);

    let metrics = std::fs::read_to_string(Path::new(&out).join("metrics.jsonl")).expect("curves");
    let held_out: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|event| event["type"] == "evaluation")
        .map(|event| event["loss"].as_f64().expect("a loss"))
        .collect();
    let (first, last) = (held_out[0], held_out[held_out.len() - 1]);
    println!("held-out loss {first:.4} → {last:.4}");
    assert!(last < 0.95 * first, "{first} → {last}");

    bone(&[
        "merge",
        "--model",
        &model,
        "--adapter",
        &out,
        "--out",
        &merged,
    ]);
    let generate = |rest: &[&str]| {
        let length = ["--prompt", prompt, "--max-new-tokens", "48"];
        bone(&[&["generate"], rest, &length].concat())
    };
    let adapted = generate(&["--model", &model, "--adapter", &out]);
    assert_eq!(adapted, generate(&["--model", &merged]));
    assert_ne!(adapted, generate(&["--model", &model]));
}

#[test]
fn gsm8k_rows() {
    let Some(assets) = assets() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let all = std::fs::read_to_string(assets.join("datasets/gsm8k/train.jsonl")).expect("rows");
    let rows: String = all
        .lines()
        .take(500)
        .map(|row| format!("{row}\n"))
        .collect();
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, rows).expect("written");
    let model = assets.join("models/stories260k");
    train_merge_generate("stories260k-gsm8k.toml", &model, &path, "Tom has 5 apples.");
}

#[test]
fn shakespeare_rows() {
    let Some(assets) = assets() else { return };
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/scripts/shakespeare_rows.sh");
    let play = assets.join("datasets/misc/tinyshakespeare.txt");
    let rows = run(
        "bash",
        &[
            script.to_str().expect("UTF-8"),
            play.to_str().expect("UTF-8"),
        ],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, rows).expect("written");
    let model = assets.join("models/stories260k");
    train_merge_generate("stories260k-shakespeare.toml", &model, &path, "ROMEO:\n");
}
