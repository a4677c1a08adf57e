//! Model folders: their configuration, weights and tokenizer, and layers for adapters.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::command::{copy_fixture, text};
use crate::refusal::{FAILURE, Scene};

/// Checks that `train` and `generate` reject the scene's model.
#[track_caller]
fn model_fails(scene: &Scene, wanted: &[&str]) {
    scene.train_fails(&[], FAILURE, wanted);
    let generate = ["generate", "--model", text(&scene.model), "--prompt", "a"];
    scene.fails(&generate, FAILURE, wanted);
}

#[test]
fn folder_without_model_is_rejected() {
    let scene = Scene::new();
    let nowhere = scene.path("nowhere");
    let nowhere = text(&nowhere);
    let wanted = ["--model: ", "nowhere", "give a Hugging Face folder"];
    scene.train_fails(&["--model", nowhere], FAILURE, &wanted);
    let generate = ["generate", "--model", nowhere, "--prompt", "a"];
    scene.fails(
        &generate,
        FAILURE,
        &["nowhere: file or folder not found", "Hugging Face"],
    );
    // The rows are a file, but not a weight file.
    let rows = text(&scene.rows);
    scene.train_fails(&["--model", rows], FAILURE, &["rows.jsonl"]);
    std::fs::remove_file(scene.model.join("config.json")).unwrap();
    model_fails(&scene, &["config.json: not found", "Hugging Face"]);
}

#[test]
fn missing_model_files_are_named() {
    let scene = Scene::new();
    std::fs::remove_file(scene.model.join("tokenizer.json")).unwrap();
    model_fails(&scene, &["has no tokenizer.json", "download"]);
    let vocabulary = scene.model.join("rwkv_vocab_a.txt");
    std::fs::write(&vocabulary, "1 'a' 2\n").unwrap();
    model_fails(
        &scene,
        &["rwkv_vocab_a.txt is not an RWKV", "line 1: the token has 1"],
    );
    std::fs::write(scene.model.join("rwkv_vocab_b.txt"), "").unwrap();
    model_fails(&scene, &["rwkv_vocab_a.txt, rwkv_vocab_b.txt: choose one"]);
    let generate = ["generate", "--model", text(&scene.model), "--prompt", "a"];
    let absent = scene.path("absent.txt");
    let named = [&generate[..], &["--tokenizer", text(&absent)]].concat();
    scene.fails(&named, FAILURE, &["absent.txt cannot be read"]);
    let scene = Scene::new();
    std::fs::remove_file(scene.model.join("model.safetensors")).unwrap();
    let wanted = [
        "model.safetensors.index.json",
        "golden.safetensors and a config.json",
    ];
    model_fails(&scene, &wanted);
    let scene = Scene::new();
    std::fs::remove_dir_all(&scene.model).unwrap();
    copy_fixture("llama-tiny-tied", &scene.model);
    let shard = "model-00002-of-00002.safetensors";
    std::fs::remove_file(scene.model.join(shard)).unwrap();
    model_fails(&scene, &[shard, "is missing: download"]);
}

#[test]
fn truncated_weights_are_rejected() {
    let scene = Scene::new();
    let path = scene.model.join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..40_000]).unwrap();
    let wanted = ["model.safetensors", "tensors end beyond the", "cut off"];
    let message = scene.train_fails(&[], FAILURE, &wanted);
    assert_eq!(message.lines().count(), 2, "{message}");
    model_fails(&scene, &wanted);
    for length in [0, 4, 9, 700] {
        std::fs::write(&path, &whole[..length]).unwrap();
        model_fails(&scene, &["model.safetensors"]);
    }
    std::fs::write(&path, [&[0xFF; 8], &whole[8..]].concat()).unwrap();
    model_fails(&scene, &["model.safetensors"]);
}

#[test]
fn broken_model_json_is_rejected() {
    let scene = Scene::new();
    std::fs::write(scene.model.join("tokenizer.json"), "{}").unwrap();
    model_fails(&scene, &["tokenizer.json is invalid"]);
    std::fs::write(scene.model.join("config.json"), "{").unwrap();
    model_fails(&scene, &["config.json: invalid JSON"]);
    std::fs::write(scene.model.join("config.json"), "[]").unwrap();
    model_fails(&scene, &["config.json: model_type"]);
}

#[test]
fn unsupported_config_fields_are_listed() {
    let scene = Scene::new();
    scene.configure(&json!({
        "rope_scaling": {"type": "linear", "factor": 2.0},
        "hidden_act": "gelu",
        "quantization_config": {"bits": 4},
    }));
    model_fails(
        &scene,
        &[
            "config.json",
            "rope_scaling",
            "hidden_act \"gelu\" is not supported",
            "quantization_config",
        ],
    );
    let scene = Scene::new();
    scene.configure(&json!({"model_type": "gpt2"}));
    model_fails(
        &scene,
        &["config.json: ", "model_type \"gpt2\"", "llama, rwkv6"],
    );
}

#[test]
fn terminal_escapes_in_config_are_escaped() {
    let scene = Scene::new();
    scene.configure(&json!({"model_type": "\u{1b}[31mllama"}));
    let message = scene.train_fails(&[], FAILURE, &["config.json: model_type"]);
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

#[test]
fn impossible_config_sizes_are_rejected() {
    for (key, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-4)),
        ("num_hidden_layers", json!(0)),
        ("num_hidden_layers", json!(1_u64 << 40)),
        ("num_hidden_layers", json!(1 << 20)),
        ("vocab_size", json!("many")),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(7)),
    ] {
        let scene = Scene::new();
        scene.configure(&json!({key: value}));
        model_fails(&scene, &["config.json", key]);
    }
}

#[test]
fn weights_and_tokenizer_must_fit_config() {
    let scene = Scene::new();
    scene.configure(&json!({"intermediate_size": 48}));
    let wanted = [
        "do not match the model",
        "\"model.layers.0.mlp.up_proj.weight\": expected shape [48, 32], found [44, 32]",
        "\"model.layers.1.mlp.down_proj.weight\": expected shape [32, 48], found [32, 44]",
    ];
    model_fails(&scene, &wanted);
    let scene = Scene::new();
    scene.configure(&json!({"vocab_size": 10}));
    let wanted = ["vocabulary of 10", "use the tokenizer of the model"];
    scene.train_fails(&["--init", "random"], FAILURE, &wanted);
}

#[test]
fn model_larger_than_memory_is_rejected() {
    let scene = Scene::new();
    scene.configure(&json!({
        "hidden_size": 1 << 20, "intermediate_size": 1 << 20, "num_hidden_layers": 1000,
        "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 1 << 15,
    }));
    let wanted = [
        "the run needs about",
        "PiB",
        "this machine",
        "available",
        "largest part is base weights",
    ];
    for method in ["bone", "miss"] {
        let started = Instant::now();
        let args = ["--init", "random", "--method", method];
        scene.train_fails(&args, FAILURE, &wanted);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    let args = ["--init", "random", "--method", "full", "--rank="];
    let message = scene.train_fails(&args, FAILURE, &["the run needs about", "PiB"]);
    assert!(
        !message.contains("dtype bf16"),
        "full has no such choice: {message}"
    );
    let scene = Scene::new();
    let long = ["--max-seq-len", "9223372036854775807"];
    scene.train_fails(&long, FAILURE, &["the run needs about", "max_seq_len"]);
    let large = ["--method", "miss", "--rank", "99999999999"];
    scene.train_fails(&large, FAILURE, &["the run needs about", "lower rank"]);
}

#[test]
fn adapter_settings_must_fit_layers() {
    let scene = Scene::new();
    let wanted = [
        "14 layer(s): rank 3 ",
        "ranks that fit: 2, 4",
        "model.layers.N.self_attn.q_proj (x2)",
        "model.layers.N.mlp.down_proj (x2)",
    ];
    let message = scene.train_fails(&["--rank", "3"], FAILURE, &wanted);
    assert_eq!(message.lines().count(), 1, "{message}");
    let wanted = [
        "width 5",
        "model.layers.N.mlp.up_proj (x2, 32 inputs, 44 outputs)",
    ];
    let mini = ["--method", "miss-mini", "--mini-width", "5"];
    scene.train_fails(&mini, FAILURE, &wanted);
    let wanted = [
        "match no layer",
        "attn",
        "ffn",
        "the layers are",
        "self_attn.q_proj",
        "mlp.up_proj",
    ];
    scene.train_fails(&["--targets", "attn,ffn,q_proj"], FAILURE, &wanted);
    let wanted = ["match no layer", "layer 2", "layer 9"];
    scene.train_fails(&["--layers", "0,2,9"], FAILURE, &wanted);
    let none_left = ["--layers", "0,1", "--exclude", ".*layers\\.0\\..*"];
    scene.train_fails(&none_left, FAILURE, &["layer 0 (", "excluded"]);
}

#[test]
fn non_finite_weights_fail_generation() {
    let scene = Scene::new();
    let path = scene.model.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    // The last tensor of the file, complete.
    let end = bytes.len();
    bytes[end - 64..].copy_from_slice(&f32::NAN.to_le_bytes().repeat(16));
    std::fs::write(&path, bytes).unwrap();
    let generate = ["generate", "--model", text(&scene.model), "--prompt", "a"];
    let several = [&generate[..], &["--prompt", "b"]].concat();
    scene.fails(&several, FAILURE, &["not finite"]);
}
