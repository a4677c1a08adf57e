//! Compares LLaMA's forward and greedy generation with records of Hugging Face transformers.

use bone_llama2::Llama;
use bone_lm::CausalLm;
use bone_lm::generate::{GenerateConfig, generate, token_tensor};
use bone_lm::sampling::SamplingConfig;
use bone_tests::{Record, assets, fixtures, max_difference};
use burn::backend::Flex;
use burn::tensor::{DType, FloatDType};
use std::path::Path;

/// Loads a model with products in f32, as in the records: a processor that multiplies in bf16 widens the
/// weights.
fn load(folder: &Path) -> Llama<Flex> {
    let device = Default::default();
    let in_bf16 = <Flex as bone::Backend>::multiplies_in(DType::BF16, &device);
    let dtype = in_bf16.then_some(FloatDType::F32);
    Llama::from_folder(folder, &device, dtype).expect("loads")
}

fn greedy(model: &Llama<Flex>, prompts: &[Vec<u32>], count: usize) -> Vec<Vec<u32>> {
    let config = GenerateConfig {
        sampling: SamplingConfig::default(),
        max_new_tokens: count,
        stop: Vec::new(),
    };
    generate(model, prompts, &config, &Default::default(), |_, _| {}).expect("generates")
}

fn check_logits(model: &Llama<Flex>, tokens: &[u32], batch: usize, expected: &[f32]) {
    let tokens = token_tensor(tokens, batch, tokens.len() / batch, &Default::default());
    let logits = model.forward(tokens).into_data().convert_dtype(DType::F32);
    let logits: Vec<f32> = logits.iter::<f32>().collect();
    let difference = max_difference(&logits, expected);
    assert!(difference < 1e-4, "logits differ by {difference}");
}

#[test]
fn fixtures_give_their_logits_and_greedy_text() {
    for name in ["llama-tiny", "llama-tiny-tied"] {
        let folder = fixtures().join(name);
        let model = load(&folder);
        let record = Record::open(&folder.join("golden.safetensors"));
        let batch = record.shape("tokens")[0];
        check_logits(
            &model,
            &record.tokens("tokens"),
            batch,
            &record.floats("logits"),
        );

        let (prompt, expected) = (record.tokens("prompt"), record.tokens("greedy"));
        let alone = greedy(&model, std::slice::from_ref(&prompt), expected.len());
        assert_eq!(alone[0], expected, "{name}");
        // Adds a shorter and a longer prompt, so that the row is padded on the left.
        let longer = [&prompt[..1], &prompt[..]].concat();
        let among = greedy(
            &model,
            &[prompt[..3].to_vec(), prompt, longer],
            expected.len(),
        );
        assert_eq!(among[1], expected, "{name} in a batch");
    }
}

#[test]
fn widened_half_precision_file_gives_recorded_logits() {
    let folder = fixtures().join("llama-tiny-tied");
    let model = Llama::<Flex>::from_folder(&folder, &Default::default(), Some(FloatDType::F32))
        .expect("loads");
    let record = Record::open(&folder.join("golden.safetensors"));
    check_logits(
        &model,
        &record.tokens("tokens"),
        2,
        &record.floats("logits"),
    );
}

#[test]
fn published_models_give_their_logits_and_greedy_text() {
    let Some(assets) = assets() else { return };
    for name in ["stories260k", "babyllama-tok105"] {
        let folder = assets.join("models").join(name);
        let model = load(&folder);
        let record = Record::open(&folder.join("golden.safetensors"));
        check_logits(
            &model,
            &record.tokens("tokens"),
            1,
            &record.floats("logits"),
        );
        let key = record
            .names()
            .into_iter()
            .find(|name| name.starts_with("greedy"))
            .expect("a greedy record");
        let expected = record.tokens(&key);
        let continued = greedy(&model, &[expected[..1].to_vec()], expected.len() - 1);
        assert_eq!(continued[0], expected[1..], "{name}");
    }
}

#[test]
fn mismatched_weights_are_listed() {
    let error = Llama::<Flex>::from_folder(Path::new("/nowhere"), &Default::default(), None)
        .expect_err("no folder");
    assert!(
        error.to_string().contains("/nowhere/config.json"),
        "{error}"
    );

    // The weights of one model under the configuration of another.
    let folder = tempfile::tempdir().expect("a folder");
    let tiny = fixtures().join("llama-tiny");
    std::fs::copy(
        tiny.join("model.safetensors"),
        folder.path().join("model.safetensors"),
    )
    .expect("copied");
    let config = std::fs::read_to_string(tiny.join("config.json")).expect("read");
    let changed = config
        .replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1")
        .replace("\"intermediate_size\": 44", "\"intermediate_size\": 48");
    std::fs::write(folder.path().join("config.json"), changed).expect("written");
    let error = Llama::<Flex>::from_folder(folder.path(), &Default::default(), None)
        .expect_err("does not fit")
        .to_string();
    for name in [
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
    ] {
        assert!(error.contains(name), "{name} not in {error}");
    }
}

#[test]
fn config_part_sizes_match_model() {
    for name in ["llama-tiny", "llama-tiny-tied"] {
        let model = load(&fixtures().join(name));
        let mut found = std::collections::BTreeMap::new();
        for (name, info) in bone::weights::infos::<Flex, _>(&model) {
            if let Some(part) = model.part_of(&name) {
                *found.entry(part).or_default() += info.shape.iter().product::<usize>();
            }
        }
        assert_eq!(model.config().part_params(), found, "{name}");
    }
}
