//! Tests the committed configurations on a real trained model, from rows to a merged model. They need the
//! assets (`BONE_ASSETS` or `../shared/assets`), and print a note if they are missing.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn assets() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets");
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
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
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

    let held_out = losses(Path::new(&out), "evaluation");
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
fn stories260k_learns_gsm8k_and_merges() {
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
fn stories260k_learns_shakespeare_and_merges() {
    let Some(assets) = assets() else { return };
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scripts/shakespeare_rows.sh");
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

/// Returns the losses of all events of one type, in order.
fn losses(out: &Path, kind: &str) -> Vec<f64> {
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).expect("curves");
    metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|event| event["type"] == kind)
        .map(|event| event["loss"].as_f64().expect("a finite loss"))
        .collect()
}

/// Returns the first `bytes` bytes of a play in UTF-16LE, which rwkv6-1m was trained on.
fn play_in_utf16(assets: &Path, folder: &Path, bytes: usize) -> PathBuf {
    let play = std::fs::read_to_string(assets.join("datasets/misc/tinyshakespeare.txt"));
    let text: Vec<u8> = play
        .expect("the play")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .take(bytes)
        .collect();
    let path = folder.join("play.txt");
    std::fs::write(&path, text).expect("written");
    path
}

/// Trains the RWKV6 in `model` on raw bytes.
fn train_rwkv6(model: &Path, data: &Path, out: &Path, rest: &[&str]) {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_string();
    let (model, data, out) = (text(model), text(data), text(out));
    let names = ["--model", &model, "--data", &data, "--out", &out];
    let how = ["--tokenizer", "bytes", "--rank", "8", "--device", "cpu"];
    bone(&[&["train"], &names[..], &how, rest].concat());
}

#[test]
fn rwkv6_learns_utf16_and_merges_into_rwkvs_names() {
    let Some(assets) = assets() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let data = play_in_utf16(&assets, folder.path(), 40_000);
    for file in ["model.safetensors", "model.pth"] {
        let model = assets.join("models/rwkv6-1m").join(file);
        let out = folder.path().join(format!("out-{file}"));
        let steps = [
            "--max-seq-len",
            "512",
            "--batch-size",
            "4",
            "--max-steps",
            "12",
            "--learning-rate",
            "0.002",
            "--validation",
            "8",
        ];
        train_rwkv6(&model, &data, &out, &steps);
        let held_out = losses(&out, "evaluation");
        let (first, last) = (held_out[0], held_out[held_out.len() - 1]);
        println!("{file}: held-out loss {first:.4} → {last:.4}");
        assert!(last < 0.97 * first, "{first} → {last}");

        let merged = folder.path().join(format!("merged-{file}"));
        let text = |path: &Path| path.to_str().expect("UTF-8").to_string();
        let (base, adapter, to) = (text(&model), text(&out), text(&merged));
        bone(&[
            "merge",
            "--model",
            &base,
            "--adapter",
            &adapter,
            "--out",
            &to,
        ]);
        // The merged tensors have the names of the .pth, and the model loads: training can start where it
        // stopped.
        let weights = std::fs::read(merged.join("model.safetensors")).expect("weights");
        let (length, rest) = weights.split_first_chunk().expect("a header's length");
        let length = u64::from_le_bytes(*length) as usize;
        let header = String::from_utf8_lossy(&rest[..length]);
        for name in [
            "emb.weight",
            "blocks.0.ln0.weight",
            "blocks.11.att.time_faaaa",
        ] {
            assert!(header.contains(&format!("\"{name}\"")), "{name}");
        }
        let next = folder.path().join(format!("next-{file}"));
        train_rwkv6(
            &merged,
            &data,
            &next,
            &[&steps[..4], &["--max-steps", "1", "--validation", "8"]].concat(),
        );
        let merged_loss = losses(&next, "evaluation")[0];
        assert!(
            (merged_loss - last).abs() < 0.01 * last,
            "{last}, merged {merged_loss}"
        );
    }
}

#[test]
fn long_document_trains_in_chunks() {
    let Some(assets) = assets() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let data = play_in_utf16(&assets, folder.path(), 4096);
    let model = assets.join("models/rwkv6-1m/model.safetensors");
    let run = |name: &str, rest: &[&str]| {
        let out = folder.path().join(name);
        let steps = [
            "--max-seq-len",
            "4096",
            "--batch-size",
            "1",
            "--max-steps",
            "6",
            "--learning-rate",
            "0.002",
            "--validation",
            "0",
        ];
        train_rwkv6(&model, &data, &out, &[&steps, rest].concat());
        losses(&out, "step")
    };
    let (whole, pieces) = (run("whole", &[]), run("pieces", &["--chunk-ctx", "512"]));
    println!("one piece {whole:?}\nof 512    {pieces:?}");
    assert!((whole[0] - pieces[0]).abs() < 1e-4);
    assert_eq!(pieces.len(), 6);
    assert!(pieces[5] < pieces[0], "{pieces:?}");
}

/// Greedy answers do not depend on how many questions run together. The exception is after a near tie,
/// where rounding chooses the token.
#[test]
fn gsm8k_answers_do_not_depend_on_batch_size() {
    let Some(assets) = assets() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!(
        "{}[:24]",
        assets.join("datasets/gsm8k/test.jsonl").display()
    );
    for model in ["stories260k", "rwkv6-1m/model.safetensors"] {
        let path = assets.join("models").join(model);
        let answers = |batch_size: &str| {
            let out = folder.path().join("out.json");
            bone(&[
                "eval",
                "gsm8k",
                "--model",
                path.to_str().expect("UTF-8"),
                "--data",
                &data,
                "--max-new-tokens",
                "48",
                "--batch-size",
                batch_size,
                "--overwrite",
                "--out",
                out.to_str().expect("UTF-8"),
            ]);
            let text = std::fs::read_to_string(out).expect("results");
            let results: Value = serde_json::from_str(&text).expect("JSON");
            results["answers"].as_array().expect("answers").clone()
        };
        let (one, many) = (answers("1"), answers("16"));
        assert_eq!((one.len(), many.len()), (24, 24));
        let mut differ = 0;
        for (one, many) in one.iter().zip(&many) {
            assert_eq!(one["index"], many["index"]);
            if one["output"] != many["output"] {
                assert!(
                    one["near_tie"].is_u64() && many["near_tie"].is_u64(),
                    "{model}: {one} and {many}"
                );
                differ += 1;
            }
        }
        println!("{model}: {differ} of 24 differ, each after a near tie");
    }
}
