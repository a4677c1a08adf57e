//! `bone generate`.

use std::process::{Command, Stdio};

use crate::command::{bone, copy_fixture, fixture, text};
use crate::runs::{Place, generate};

#[test]
fn batched_prompts_equal_single_prompts() {
    for name in ["llama-tiny", "llama-tiny-tied"] {
        let model = fixture(name);
        let prompts = ["say ab 4", "x", "a longer prompt than those", ""];
        let args: Vec<_> = prompts.iter().flat_map(|p| ["--prompt", p]).collect();
        let single: String = prompts
            .iter()
            .map(|prompt| generate(&model, &["--prompt", prompt]) + "\n")
            .collect();
        assert_eq!(generate(&model, &args), single, "{name}");
    }
}

#[test]
fn a_seed_gives_the_same_draws_again() {
    let model = fixture("llama-tiny");
    let with_seed = |seed| {
        let sampling = ["--temperature", "1.5", "--top-k", "50", "--top-p", "0.95"];
        let rest = [
            "--repetition-penalty",
            "1.1",
            "--prompt",
            "say",
            "--seed",
            seed,
        ];
        generate(&model, &[&sampling[..], &rest].concat())
    };
    assert_eq!(with_seed("7"), with_seed("7"));
    assert_ne!(with_seed("7"), with_seed("8"));
}

#[test]
fn zero_new_tokens_prints_only_the_prompt() {
    let args = ["--prompt", "say ab", "--max-new-tokens", "0"];
    assert_eq!(generate(&fixture("llama-tiny"), &args), "say ab\n");
}

#[test]
fn prompt_is_rendered_with_template() {
    let args = [
        "--prompt",
        "say",
        "--template",
        "alpaca",
        "--max-new-tokens",
        "1",
    ];
    // The template alone is longer than the fixture's 128 positions.
    let folder = tempfile::tempdir().unwrap();
    let model = copy_fixture("llama-tiny", folder.path());
    let config = model.join("config.json");
    let longer = std::fs::read_to_string(&config).unwrap().replace(
        "\"max_position_embeddings\": 128",
        "\"max_position_embeddings\": 256",
    );
    std::fs::write(&config, longer).unwrap();
    let text = generate(&model, &args);
    assert!(text.contains("### Instruction:\nsay"), "{text}");
}

#[test]
fn generation_stops_at_maximum_position() {
    let model = fixture("llama-tiny");
    let long = "ab ".repeat(45);
    let ran = bone(["generate", "--model", text(&model), "--prompt", &long]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("the model supports 128"), "{ran:?}");

    let fits = "ab ".repeat(40);
    let args = ["--prompt", &fits, "--max-new-tokens", "1000"];
    let text = generate(&model, &args);
    assert!(text.len() < 128 * 2, "{text}");
}

#[test]
fn terminal_escapes_in_output_are_escaped() {
    let text = generate(&fixture("llama-tiny"), &["--prompt", "a\u{1b}[31mé漢"]);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("é漢"), "{text:?}");
}

#[test]
fn closed_stdout_does_not_panic() {
    let model = fixture("llama-tiny");
    let generate = [
        "generate",
        "--model",
        text(&model),
        "--max-new-tokens",
        "90",
    ];
    for args in [
        [&generate[..], &["--prompt", "a"]].concat(),
        [&generate[..], &["--prompt", "a", "--prompt", "b"]].concat(),
        vec!["devices"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bone"))
            .args(args)
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn a_prompt_may_come_from_a_file() {
    let place = Place::new();
    let file = place.path("prompt.txt");
    std::fs::write(&file, "say ab\nsay 4").unwrap();
    let base = fixture("llama-tiny");
    let from_file = generate(&base, &["--prompt-file", text(&file)]);
    assert_eq!(from_file, generate(&base, &["--prompt", "say ab\nsay 4"]));
    let args = ["generate", "--model", text(&base), "--prompt-file", "none"];
    let ran = bone(args);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("none: "), "{}", ran.stderr);
}

/// The file holds square blocks, which fit either axis.
#[test]
fn ambiguous_adapter_requires_block_axis_flag() {
    let place = Place::new();
    let base = crate::rwkv6::model(&place, "rwkv6-tiny");
    let adapter = fixture("foreign/rwkv-peft-unclear/adapter.pth");
    let args = ["generate", "--model", text(&base), "--prompt", "say ab"];
    let args = [&args[..], &["--adapter", text(&adapter)]].concat();
    let ran = bone(&args);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("--block-axis"), "{}", ran.stderr);
    let settled = bone([&args[..], &["--block-axis", "input"]].concat());
    settled.succeeded();
}
