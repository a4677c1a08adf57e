#![allow(clippy::unwrap_used)]

use super::*;
use bone_lm::checkpoint;
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::path::Path;

fn recognised(path: &Path) -> Result<Architecture, ModelError> {
    Ok(recognise(path)?.architecture)
}

/// Returns a folder whose weights are one number under each of `names`.
fn weights(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("model");
    std::fs::create_dir(&folder).unwrap();
    let tensors = names
        .iter()
        .map(|name| ((*name).to_string(), TensorData::from([1.0_f32])));
    checkpoint::save(&folder, tensors, u64::MAX, BTreeMap::new()).unwrap();
    dir
}

/// Returns the family of the folder, and checks that its file gives the same.
#[track_caller]
fn of(dir: &tempfile::TempDir) -> Result<Architecture, String> {
    let folder = dir.path().join("model");
    let of_folder = recognised(&folder).map_err(|error| error.to_string());
    let file = recognised(&folder.join(checkpoint::SINGLE_FILE));
    assert_eq!(file.ok(), of_folder.clone().ok());
    of_folder
}

#[test]
fn rwkv_generation_is_detected_from_tensor_names() {
    for name in [
        "blocks.0.att.time_maa_x",
        "rwkv.blocks.0.attention.time_maa_x",
    ] {
        assert_eq!(
            of(&weights(&["emb.weight", name])),
            Ok(Architecture::Rwkv6),
            "{name}"
        );
    }
    for (name, generation) in [
        ("blocks.0.att.time_mix_k", "RWKV4 or 5 "),
        ("rwkv.blocks.0.attention.time_mix_key", "RWKV4 or 5 "),
        ("blocks.0.att.x_r", "RWKV7 "),
    ] {
        let error = of(&weights(&["emb.weight", name])).unwrap_err();
        for part in [generation, name, "RWKV6 (x060)"] {
            assert!(error.contains(part), "no '{part}' in {error}");
        }
    }
}

#[test]
fn config_json_determines_architecture() {
    let dir = weights(&["blocks.0.att.time_maa_x"]);
    let config = dir.path().join("model/config.json");
    for (model_type, wanted) in [
        ("llama", Architecture::Llama2),
        ("rwkv6", Architecture::Rwkv6),
    ] {
        std::fs::write(&config, format!("{{\"model_type\": \"{model_type}\"}}")).unwrap();
        let found = recognised(&dir.path().join("model")).unwrap();
        assert_eq!(found, wanted);
    }
    std::fs::write(&config, "{\"model_type\": \"rwkv5\"}").unwrap();
    let error = recognised(&dir.path().join("model")).unwrap_err();
    assert!(error.to_string().contains("\"rwkv5\" is not supported"));
}

#[test]
fn missing_model_error_suggests_a_model() {
    let dir = weights(&["model.embed_tokens.weight"]);
    let folder = dir.path().join("model");
    let error = |path: &Path| recognised(path).unwrap_err().to_string();
    assert!(error(&folder).contains(&format!("config.json: not found; {GIVE_A_MODEL}")));
    let file = error(&folder.join(checkpoint::SINGLE_FILE));
    assert!(file.contains("RWKV6") && file.contains("LLaMA2"), "{file}");
    // A run's folder contains its model.
    let within = format!(
        "config.json: not found; give the folder {}",
        folder.display()
    );
    assert!(error(dir.path()).contains(&within));
    let nowhere = error(&dir.path().join("nowhere"));
    assert!(nowhere.ends_with(&format!(
        "nowhere: file or folder not found; {GIVE_A_MODEL}"
    )));
    // Damaged weights are reported as damaged, not as missing.
    std::fs::write(folder.join(checkpoint::SINGLE_FILE), "x").unwrap();
    assert!(!error(&folder).contains("not found"));
}
