//! Models other than a single f32 file: sharded bf16 with tied embeddings, random weights.

use std::path::Path;

use crate::command::{copy_fixture, fixture, text};
use crate::runs::{Place, generate, merge, tensors};

/// Returns name and dtype of every tensor of a single-file model.
fn dtypes(folder: &Path) -> Vec<(String, String)> {
    let tensors = tensors(&folder.join("model.safetensors")).into_iter();
    tensors.map(|(name, (dtype, _))| (name, dtype)).collect()
}

#[test]
fn tied_sharded_bf16_model_trains_and_merges() {
    let place = Place::new();
    let base = fixture("llama-tiny-tied");
    let args = ["--method", "bone", "--rank", "4"];
    let run = place.train_on(&base, &place.rows, "out", &args);
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");

    let merged = merge(&base, &run.out, place.path("merged"));
    let tensors = dtypes(&merged);
    assert!(
        tensors.iter().all(|(_, dtype)| dtype == "BF16"),
        "{tensors:?}"
    );
    assert!(
        tensors.iter().all(|(name, _)| name != "lm_head.weight"),
        "{tensors:?}"
    );
    let prompt = "say ab 4";
    let texts = [
        generate(&base, &["--prompt", prompt, "--adapter", text(&run.out)]),
        generate(&merged, &["--prompt", prompt]),
    ];
    for text in texts {
        let new = text.trim_end().strip_prefix(prompt).unwrap();
        assert!(!new.trim().is_empty(), "{text:?}");
    }
    let again = place.train_on(
        &merged,
        &place.rows,
        "again",
        &["--max-steps", "1", "--rank", "4"],
    );
    // bf16 keeps 8 bits of a merged weight.
    again.assert_starts_at(last, 0.02 * last);
}

#[test]
fn bf16_base_trains_like_f32_base() {
    let place = Place::new();
    let base = fixture("llama-tiny-tied");
    let losses = |out, dtype| {
        let args = ["--method", "miss", "--rank", "4", "--dtype", dtype];
        place.train_on(&base, &place.rows, out, &args).losses()
    };
    let (f32, bf16) = (losses("f32", "f32"), losses("bf16", "bf16"));
    assert_eq!(f32.len(), bf16.len());
    for (f32, bf16) in f32.iter().zip(&bf16) {
        assert!((f32 - bf16).abs() < 0.01 * f32, "{f32} and {bf16}");
    }
}

#[test]
fn full_fine_tuning_keeps_tied_embeddings() {
    let place = Place::new();
    let base = fixture("llama-tiny-tied");
    let run = place.train_on(&base, &place.rows, "out", &["--method", "full"]);
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");
    let model = run.out.join("model");
    assert!(
        dtypes(&model)
            .iter()
            .all(|(name, _)| name != "lm_head.weight")
    );
    assert!(generate(&model, &["--prompt", "say"]).starts_with("say"));
}

#[test]
fn random_weights_depend_only_on_seed() {
    let place = Place::new();
    let base = copy_fixture("llama-tiny", &place.path("shapes"));
    std::fs::remove_file(base.join("model.safetensors")).unwrap();
    let train = |out, seed| {
        let args = ["--init", "random", "--method", "full", "--seed", seed];
        place.train_on(&base, &place.rows, out, &args)
    };
    let (one, same, other) = (train("one", "1"), train("same", "1"), train("other", "2"));
    let (first, last) = one.first_and_last_validation();
    let uniform = 96_f64.ln();
    assert!(
        (first - uniform).abs() < 0.2,
        "{first}, a uniform guess has {uniform}"
    );
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");
    assert_eq!(one.numbers(), same.numbers());
    assert_ne!(one.losses(), other.losses());
    assert!(generate(&one.out.join("model"), &["--prompt", "say"]).starts_with("say"));
}
