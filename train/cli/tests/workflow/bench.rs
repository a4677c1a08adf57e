//! `bone bench`: its numbers add up, whatever is trained.

use crate::command::{bone, fixture, text};
use crate::runs::Place;
use serde_json::Value;

/// A model of a few thousand parameters.
const SMALL: [&str; 8] = [
    "--hidden-size",
    "64",
    "--layers",
    "2",
    "--vocab-size",
    "96",
    "--device",
    "cpu",
];

fn train(more: &[&str]) -> Value {
    let batch = ["--batch-size", "2", "--max-seq-len", "24", "--steps", "2"];
    let args = ["bench", "train", "--json"].into_iter().chain(SMALL);
    let has_adapter = !more.contains(&"full") && !more.contains(&"state");
    let rank = ["--rank", "8"].into_iter().filter(|_| has_adapter);
    let ran = bone(args.chain(batch).chain(rank).chain(more.iter().copied())).succeeded();
    serde_json::from_str(&ran.stdout).expect("a line of JSON")
}

fn number(found: &Value, key: &str) -> f64 {
    found[key]
        .as_f64()
        .unwrap_or_else(|| panic!("no {key} in {found}"))
}

#[test]
fn bench_train_parts_add_up_to_step() {
    for (arch, method) in [
        ("llama2", "bone"),
        ("llama2", "miss"),
        ("llama2", "lora"),
        ("llama2", "full"),
        ("rwkv6", "bone"),
        ("rwkv6", "state"),
    ] {
        let found = train(&["--arch", arch, "--method", method]);
        let seconds = number(&found, "seconds_per_step");
        assert!(seconds > 0.0, "{found}");
        let tokens = number(&found, "tokens_per_second");
        assert!((tokens * seconds - 48.0).abs() < 1e-6, "{found}");
        assert!(number(&found, "trained_parameters") > 0.0, "{found}");
        assert!(number(&found, "ready_seconds") > 0.0, "{found}");
        // A random model assigns equal probability to its 96 tokens.
        let loss = number(&found, "loss");
        assert!((3.0..7.0).contains(&loss), "{arch} {method}: {found}");
        let parts = found["parts"].as_object().expect("parts");
        let sum: f64 = parts.values().filter_map(Value::as_f64).sum();
        let whole = number(&found, "taken_apart_seconds");
        assert!((sum - whole).abs() < 0.01 * whole, "{found}");
        let own = if arch == "llama2" {
            "attention"
        } else {
            "wkv6"
        };
        for part in [
            "matmul",
            "head and loss",
            "recompute",
            "optimizer",
            "norm",
            own,
        ] {
            let there = parts.contains_key(part);
            // Tuned states enter the first block only in its recurrence, so some parts are missing.
            assert!(
                there || method == "state",
                "{arch} {method}: no {part} in {found}"
            );
        }
    }
}

#[test]
fn bench_train_reads_given_model() {
    let llama = fixture("llama-tiny");
    let args = [
        "bench",
        "train",
        "--model",
        text(&llama),
        "--device",
        "cpu",
        "--rank",
        "4",
    ];
    let batch = ["--batch-size", "1", "--max-seq-len", "16", "--steps", "1"];
    let ran = bone(args.into_iter().chain(batch)).succeeded();
    for line in ["LLaMA2", "tokens/s", "memory", "matmul", "other"] {
        assert!(ran.stdout.contains(line), "no {line}:\n{}", ran.stdout);
    }
}

#[test]
fn bench_generate_reports_tokens_per_second() {
    let batch = [
        "--prompt-len",
        "5",
        "--max-new-tokens",
        "4",
        "--rounds",
        "1",
        "--json",
    ];
    for rows in ["1", "3"] {
        let args = ["bench", "generate", "--batch-size", rows].into_iter();
        // All arguments except the rank, which only training has.
        let ran = bone(args.chain(SMALL).chain(batch)).succeeded();
        let found: Value = serde_json::from_str(&ran.stdout).expect("a line of JSON");
        for key in [
            "tokens_per_second",
            "prompt_tokens_per_second",
            "decode_tokens_per_second",
        ] {
            assert!(number(&found, key) > 0.0, "{found}");
        }
    }
}

#[test]
fn impossible_bench_sizes_are_listed() {
    let ran = bone([
        "bench",
        "train",
        "--hidden-size",
        "64",
        "--heads",
        "5",
        "--kv-heads",
        "2",
    ]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("--heads 5") && ran.stderr.contains("--kv-heads 2"),
        "{}",
        ran.stderr
    );
    let ran = bone(["bench", "train", "--steps", "0", "--batch-size", "0"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("--steps") && ran.stderr.contains("--batch-size"),
        "{}",
        ran.stderr
    );
    let ran = bone(["bench", "train", "--method", "full", "--dtype", "bf16"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("f32"), "{}", ran.stderr);
    let long = ["bench", "generate", "--model"];
    let llama = fixture("llama-tiny");
    let ran = bone(
        long.into_iter()
            .chain([text(&llama), "--prompt-len", "4000"]),
    );
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("128 positions"), "{}", ran.stderr);
}

#[test]
fn bench_flags_without_effect_are_rejected() {
    let tiny = fixture("llama-tiny-tied");
    let tiny = text(&tiny);
    for (args, named) in [
        (
            &["--method", "miss", "--block-axis", "input"][..],
            &["--block-axis"][..],
        ),
        (&["--method", "bone", "--dropout", "0.1"], &["--dropout"]),
        (&["--method", "full", "--dropout", "0.1"], &["--dropout"]),
        (
            &["--method", "miss", "--mini-width", "7"],
            &["--mini-width"],
        ),
        (&["--method", "full", "--rank", "4"], &["--rank"]),
        (&["--method", "state"], &["--method", "RWKV6"]),
        (&["--arch", "rwkv6", "--kv-heads", "1"], &["--kv-heads"]),
        (
            &["--model", tiny, "--layers", "2", "--heads", "1"],
            &["--layers", "--heads"],
        ),
        (
            &["--model", tiny, "--max-seq-len", "5000"],
            &["--max-seq-len"],
        ),
    ] {
        let all = ["bench", "train", "--device", "cpu"].iter().chain(args);
        let ran = bone(all);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        for name in named {
            assert!(ran.stderr.contains(name), "{args:?}: {}", ran.stderr);
        }
    }
    // Its file is in bf16, and full training uses f32.
    let args = ["--model", tiny, "--method", "full", "--steps", "1"];
    let all = ["bench", "train", "--device", "cpu", "--max-seq-len", "16"].into_iter();
    let ran = bone(all.chain(args)).succeeded();
    assert!(ran.stdout.contains(" in f32, full"), "{}", ran.stdout);
}

/// Sizes beyond any machine allocate and write nothing.
#[test]
fn huge_bench_sizes_are_rejected() {
    let most = usize::MAX.to_string();
    let beyond = "1000000000000";
    for (kind, args, named) in [
        (
            "train",
            ["--max-seq-len", &most, "--batch-size", beyond],
            &["--batch-size must", "--max-seq-len must"][..],
        ),
        (
            "train",
            ["--hidden-size", &most, "--layers", &most],
            &["--layers must", "--hidden-size must"],
        ),
        (
            "train",
            ["--hidden-size", "1000000", "--layers", "1000"],
            &["weights"],
        ),
        (
            "train",
            ["--batch-size", "10000000", "--layers", "1"],
            &["the run needs about"],
        ),
        (
            "generate",
            ["--prompt-len", &most, "--max-new-tokens", &most],
            &["--prompt-len must", "--max-new-tokens must"],
        ),
        (
            "generate",
            ["--batch-size", "10000000", "--layers", "1"],
            &["the cache would need"],
        ),
    ] {
        let small = ["bench", kind, "--device", "cpu", "--vocab-size", "64"].into_iter();
        let ran = bone(small.chain(args));
        assert!(
            matches!(ran.code, Some(1 | 2)),
            "{args:?}: {:?} {}",
            ran.code,
            ran.stderr
        );
        for name in named {
            assert!(ran.stderr.contains(name), "{args:?}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("panicked"), "{args:?}: {}", ran.stderr);
    }
}

/// The folder of the random model is removed after mapping, so it is gone however the run ends.
#[cfg(unix)]
#[test]
fn random_model_leaves_no_files() {
    let place = Place::new();
    let folder = place.path("temporary");
    std::fs::create_dir(&folder).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_bone"))
        .args([
            "bench",
            "train",
            "--device",
            "cpu",
            "--hidden-size",
            "64",
            "--layers",
            "1",
        ])
        .args(["--vocab-size", "64", "--rank", "4", "--steps", "1000000"])
        .env("TMPDIR", &folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    // The first line of output names the folder of the model.
    let mut said = [0];
    std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    while std::fs::read_dir(&folder).unwrap().next().is_some() {
        assert!(started.elapsed().as_secs() < 60, "the model is still there");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(child.try_wait().unwrap().is_none(), "it runs on");
    child.kill().unwrap();
    child.wait().unwrap();
}
