//! Adapter folders, and the errors of `bone merge`.

use serde_json::json;

use crate::command::{bone, copy_fixture, text};
use crate::refusal::{FAILURE, Scene, USAGE};

/// Returns a scene with a trained adapter in `run`.
fn trained() -> Scene {
    let scene = Scene::new();
    let run = scene.path("run");
    let (model, rows) = (text(&scene.model), text(&scene.rows));
    let args = [
        "train",
        "--model",
        model,
        "--data",
        rows,
        "--out",
        text(&run),
    ];
    bone(args.iter().chain(&["--rank", "4", "--max-steps", "1"])).succeeded();
    scene
}

/// Checks that `merge` and `generate` reject the adapter in `adapter`, a name in the scene.
#[track_caller]
fn adapter_fails(scene: &Scene, adapter: &str, wanted: &[&str]) -> String {
    let (adapter, out) = (scene.path(adapter), scene.path("merged"));
    let with = ["--model", text(&scene.model), "--adapter", text(&adapter)];
    let generate = [&["generate", "--prompt", "a"][..], &with].concat();
    scene.fails(&generate, FAILURE, wanted);
    let merge = [&["merge", "--out", text(&out)][..], &with].concat();
    scene.fails(&merge, FAILURE, wanted)
}

#[test]
fn folder_without_adapter_is_rejected() {
    let scene = trained();
    let wanted = [
        "is not an adapter",
        "adapter_config.json",
        "--out of a training run",
    ];
    adapter_fails(&scene, "model", &wanted);
    adapter_fails(&scene, "nowhere", &["nowhere: file or folder not found"]);
}

#[test]
fn adapter_of_other_model_is_rejected() {
    let scene = trained();
    std::fs::remove_dir_all(&scene.model).unwrap();
    copy_fixture("llama-tiny-tied", &scene.model);
    let wanted = [
        "adapter_model.safetensors does not fit this model",
        "layers.0.self_attn.q_proj.miss_block: expected shape",
        "found [8, 4, 4]",
        "layers.1.self_attn.v_proj.miss_block: expected shape",
        "found [4, 4, 4]",
    ];
    let message = adapter_fails(&scene, "run", &wanted);
    let again = adapter_fails(&scene, "run", &[]);
    assert_eq!(message, again, "the order of a list does not change");
}

#[test]
fn damaged_adapter_files_are_rejected() {
    let scene = trained();
    let folder = scene.path("run/adapter");
    let config = std::fs::read(folder.join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let changed = |key: &str, value: serde_json::Value| {
        let mut config = config.clone();
        config[key] = value;
        let config = serde_json::to_vec(&config).unwrap();
        std::fs::write(folder.join("adapter_config.json"), config).unwrap();
    };
    changed("peft_type", json!("VERA"));
    adapter_fails(
        &scene,
        "run",
        &["adapter_config.json", "\"VERA\" is not supported"],
    );
    changed("r", json!(8));
    adapter_fails(&scene, "run", &["does not fit", "rank 8"]);
    changed("r", json!(1_u64 << 60));
    adapter_fails(&scene, "run", &["does not fit"]);
    std::fs::write(folder.join("adapter_config.json"), "{").unwrap();
    adapter_fails(&scene, "run", &["adapter_config.json: invalid JSON"]);
    changed("r", json!(4));
    let tensors = folder.join("adapter_model.safetensors");
    let whole = std::fs::read(&tensors).unwrap();
    std::fs::write(&tensors, &whole[..whole.len() - 100]).unwrap();
    adapter_fails(&scene, "run", &["adapter_model.safetensors"]);
    std::fs::remove_file(&tensors).unwrap();
    adapter_fails(&scene, "run", &["adapter_model.safetensors"]);
}

#[test]
fn a_merged_model_never_replaces_files() {
    let scene = trained();
    let (model, adapter) = (text(&scene.model), scene.path("run"));
    let merge = |out: &str, wanted: &[&str]| {
        let out = scene.path(out);
        let args = ["merge", "--model", model, "--adapter", text(&adapter)];
        scene.fails(
            &[&args[..], &["--out", text(&out)]].concat(),
            FAILURE,
            wanted,
        )
    };
    let wanted = ["is not empty"];
    merge("model", &wanted);
    merge("run/adapter", &wanted);
    merge("rows.jsonl", &["rows.jsonl", "folder"]);
    // A user's file with the name of the unfinished folder is kept too.
    let neighbour = scene.path("other.partial");
    std::fs::create_dir(&neighbour).unwrap();
    std::fs::write(neighbour.join("mine"), "precious").unwrap();
    let other = scene.path("other");
    let args = ["merge", "--model", model, "--adapter", text(&adapter)];
    bone(args.iter().chain(&["--out", text(&other)]));
    assert_eq!(std::fs::read(neighbour.join("mine")).unwrap(), b"precious");
}

#[test]
fn non_finite_weights_are_not_merged() {
    let scene = trained();
    let path = scene.model.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let (length, _) = bytes.split_first_chunk::<8>().unwrap();
    let data = 8 + u64::from_le_bytes(*length) as usize;
    bytes[data..].fill(0xFF);
    std::fs::write(&path, bytes).unwrap();
    let (adapter, out) = (scene.path("run"), scene.path("merged"));
    let args = [
        "merge",
        "--model",
        text(&scene.model),
        "--adapter",
        text(&adapter),
    ];
    let args = [&args[..], &["--out", text(&out)]].concat();
    scene.fails(&args, FAILURE, &["self_attn.q_proj", "not finite"]);
}

#[test]
fn unknown_train_parts_are_rejected() {
    let scene = Scene::new();
    let wanted = ["--train-parts: LLaMA2 has no time; it has ln, emb, head"];
    scene.train_fails(&["--train-parts", "time,ln"], USAGE, &wanted);
    let both = ["--train-parts", "head", "--targets", "lm_head,q_proj"];
    let wanted = ["adapter: lm_head.weight", "exclude"];
    scene.train_fails(&both, FAILURE, &wanted);

    std::fs::remove_dir_all(&scene.model).unwrap();
    copy_fixture("llama-tiny-tied", &scene.model);
    let wanted = [
        "LLaMA2 has no head; it has ln, emb",
        "tied",
        "use emb instead of head",
    ];
    scene.train_fails(&["--train-parts", "head"], USAGE, &wanted);
}

#[test]
fn adapter_parameters_must_fit_model() {
    let scene = trained();
    let folder = scene.path("run/adapter");
    let path = folder.join("adapter_config.json");
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let with = |changes: &[(&str, serde_json::Value)]| {
        let mut config = config.clone();
        for (key, value) in changes {
            config[*key] = value.clone();
        }
        std::fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
    };
    with(&[("modules_to_save", json!(["lm_head", "score"]))]);
    let wanted = [
        "adapter_model.safetensors does not fit this model",
        "base_model.model.lm_head.weight: missing",
        " no module score",
    ];
    adapter_fails(&scene, "run", &wanted);
    let states = [("peft_type", json!("RWKV_STATE"))];
    with(&states);
    adapter_fails(
        &scene,
        "run",
        &["unknown tensor", "blocks.N.att.time_state"],
    );

    // A folder of states, for a model that has no states.
    let mut file = b"\0\0\0\0\0\0\0\0".to_vec();
    let header =
        br#"{"blocks.0.att.time_state":{"dtype":"F32","shape":[1,1,1],"data_offsets":[0,4]}}"#;
    file[0] = header.len() as u8;
    file.extend(header);
    file.extend([0; 4]);
    std::fs::write(folder.join("adapter_model.safetensors"), file).unwrap();
    let wanted = ["run", "tuned states"];
    adapter_fails(&scene, "run", &wanted);
}
