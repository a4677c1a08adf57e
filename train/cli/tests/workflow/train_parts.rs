//! Parts of a model that train in full beside the adapters.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::command::{fixture, text};
use crate::runs::{Place, generate, merge, number, tensors};

const PROMPT: &str = "say ab 4";
const NORMS: [&str; 5] = [
    "model.layers.0.input_layernorm",
    "model.layers.0.post_attention_layernorm",
    "model.layers.1.input_layernorm",
    "model.layers.1.post_attention_layernorm",
    "model.norm",
];

fn config(run: &std::path::Path) -> Value {
    let text = std::fs::read_to_string(run.join("adapter/adapter_config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn norms_and_head_train_whole_and_are_merged() {
    let place = Place::new();
    let base = fixture("llama-tiny");
    let args = ["--rank", "4", "--targets", "q_proj,down_proj"];
    let run = place.train("out", &[&args[..], &["--train-parts", "ln,head"]].concat());
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");
    let alone = place.train("alone", &args);
    assert_ne!(alone.losses(), run.losses());

    let modules: Vec<_> = [&["lm_head"][..], &NORMS].concat();
    let config = config(&run.out);
    assert_eq!(config["modules_to_save"], json!(modules));
    assert_eq!(config["peft_type"], "MISS");
    let saved = tensors(&run.out.join("adapter/adapter_model.safetensors"));
    let full: BTreeSet<_> = saved
        .keys()
        .filter_map(|name| {
            name.strip_prefix("base_model.model.")?
                .strip_suffix(".weight")
        })
        .collect();
    assert_eq!(full, modules.iter().copied().collect());

    let merged = merge(&base, &run.out, place.path("merged"));
    let (before, after) = (
        tensors(&base.join("model.safetensors")),
        tensors(&merged.join("model.safetensors")),
    );
    let names: Vec<_> = before.keys().collect();
    assert_eq!(names, after.keys().collect::<Vec<_>>());
    for (name, tensor) in &before {
        let path = name.strip_suffix(".weight").unwrap();
        if modules.contains(&path) {
            // The file stores values, not differences.
            let value = &saved[&format!("base_model.model.{name}")];
            assert_eq!(&after[name], value, "{name}");
            assert_ne!(value, tensor, "{name}");
        } else {
            let adapted = path.ends_with("q_proj") || path.ends_with("down_proj");
            assert_eq!(after[name] != *tensor, adapted, "{name}");
        }
    }

    let adapted = generate(&base, &["--prompt", PROMPT, "--adapter", text(&run.out)]);
    assert_eq!(adapted, generate(&merged, &["--prompt", PROMPT]));
    assert_ne!(adapted, generate(&base, &["--prompt", PROMPT]));
    let next = place.train_on(
        &merged,
        &place.rows,
        "next",
        &["--max-steps", "1", "--rank", "4"],
    );
    next.assert_starts_at(last, 1e-4);
}

#[test]
fn parts_of_bf16_base_round_at_merge() {
    let place = Place::new();
    let base = fixture("llama-tiny-tied");
    let args = ["--rank", "4", "--dtype", "bf16", "--train-parts", "emb,ln"];
    // At a rate of 0.01 near ties are so frequent that rounding changes 4 of 128 tokens, which is too
    // many.
    let args = [&args[..], &["--learning-rate", "0.005"]].concat();
    let run = place.train_on(&base, &place.rows, "out", &args);
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");

    // PEFT does not tie parameters that it stores in full.
    let config = config(&run.out);
    assert_eq!(config["peft_type"], "MISS_WITH_PARAMETERS");
    assert_eq!(
        config["parameters_to_save"],
        json!(["model.embed_tokens.weight"])
    );
    let saved = tensors(&run.out.join("adapter/adapter_model.safetensors"));
    let (dtype, embedding) = &saved["base_model.model.model.embed_tokens.weight"];
    assert_eq!(dtype, "F32");
    let beyond_bf16 = embedding.chunks_exact(4).filter(|f32| f32[..2] != [0, 0]);
    assert!(
        beyond_bf16.count() > embedding.len() / 8,
        "small steps are kept"
    );

    let merged = merge(&base, &run.out, place.path("merged"));
    for (name, (dtype, _)) in tensors(&merged.join("model.safetensors")) {
        assert_eq!(dtype, "BF16", "{name}");
        assert_ne!(name, "lm_head.weight");
    }
    let next = place.train_on(
        &merged,
        &place.rows,
        "next",
        &["--max-steps", "1", "--rank", "4"],
    );
    next.assert_starts_at(last, 0.02 * last);
}

#[test]
fn memory_settings_do_not_change_part_losses() {
    let place = Place::new();
    let losses = |out, savings: &[&str]| {
        let args = ["--rank", "4", "--train-parts", "ln,emb,head"];
        let run = place.train(out, &[&args[..], savings].concat());
        assert!(run.steps.iter().all(|line| number(line, "grad_norm") > 0.0));
        run.losses()
    };
    let plain = losses(
        "plain",
        &["--recompute", "false", "--chunked-head", "false"],
    );
    let saving = losses("saving", &["--head-chunk", "7"]);
    for (plain, saving) in plain.iter().zip(&saving) {
        assert!(
            (plain - saving).abs() < 1e-4 * plain,
            "{plain} and {saving}"
        );
    }
}

#[test]
fn parts_train_over_bf16_base_like_f32() {
    let place = Place::new();
    for parts in ["ln", "emb", "head"] {
        let losses = |dtype: &str| {
            let args = ["--rank", "4", "--train-parts", parts, "--dtype", dtype];
            place.train(&format!("{parts}-{dtype}"), &args).losses()
        };
        for (f32, bf16) in losses("f32").iter().zip(losses("bf16")) {
            assert!((f32 - bf16).abs() < 0.02 * f32, "{parts}: {f32} and {bf16}");
        }
    }
}
