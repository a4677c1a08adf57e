//! The demo's output and files. A release build in `.ci/run` checks what it learns.

use crate::command::{bone, text};

const FILES: [&str; 9] = [
    "base/config.json",
    "base/model.safetensors",
    "base/tokenizer.json",
    "sums-in-words.jsonl",
    "held-out.jsonl",
    "run/config.toml",
    "run/metrics.jsonl",
    "run/adapter/adapter_model.safetensors",
    "merged/model.safetensors",
];

#[test]
fn demo_writes_a_folder_per_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let args = ["demo", "--steps", "2", "--out", text(&out)];
    let told = bone(args).succeeded();
    for (name, arch) in [("LLaMA2", "llama2"), ("RWKV6", "rwkv6")] {
        for file in FILES {
            assert!(out.join(arch).join(file).is_file(), "{arch}/{file}");
        }
        for line in [
            format!("A tiny {name} "),
            format!("  {name:<6} before: "),
            format!("  {name:<6} after : "),
        ] {
            assert!(
                told.stdout.contains(&line),
                "no '{line}' in {}",
                told.stdout
            );
        }
    }
    let done = "same answer to 201 of 201 ";
    assert_eq!(told.stdout.matches(done).count(), 2, "{}", told.stdout);
}

#[test]
fn demo_of_single_model_writes_into_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let args = ["demo", "--steps", "2", "--out", text(&out)];
    bone([&args[..], &["--arch", "rwkv6"]].concat()).succeeded();
    for file in FILES {
        assert!(out.join(file).is_file(), "{file}");
    }
}

#[test]
fn the_demo_lists_its_models() {
    let help = bone(["demo", "--help"]).succeeded().stdout;
    for word in ["--arch", "llama2", "rwkv6", "both", "default: both"] {
        assert!(help.contains(word), "no '{word}' in {help}");
    }
}
