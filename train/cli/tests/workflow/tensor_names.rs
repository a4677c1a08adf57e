//! Tensor names in files: those of RWKV6's Hugging Face code, and hostile ones that contain terminal codes.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{bone, copy_fixture, text};
use crate::runs::{Place, generate, merge};
use crate::rwkv6::model;

const PROMPT: [&str; 2] = ["--prompt", "say ab 4"];

/// Copies the adapter folder `from` with the names that PEFT uses for such a model.
fn copy_with_peft_names(from: &Path, to: &Path, targets: Value) {
    std::fs::create_dir(to).unwrap();
    let file = std::fs::read(from.join("adapter_model.safetensors")).unwrap();
    let (size, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*size) as usize);
    let header = std::str::from_utf8(header).unwrap().trim_end();
    let mut header = header
        .replace("model.blocks.", "model.rwkv.blocks.")
        .replace(".att.", ".attention.")
        .replace(".ffn.", ".feed_forward.");
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let size = (header.len() as u64).to_le_bytes();
    let bytes = [&size[..], header.as_bytes(), data].concat();
    std::fs::write(to.join("adapter_model.safetensors"), bytes).unwrap();

    let config = std::fs::read(from.join("adapter_config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    config["target_modules"] = targets;
    std::fs::write(to.join("adapter_config.json"), config.to_string()).unwrap();
}

#[test]
fn hugging_face_adapter_fits_rwkv_files() {
    let place = Place::new();
    let bases = [
        model(&place, "rwkv6-tiny-head12"),
        model(&place, "rwkv6-tiny"),
    ];
    for base in bases {
        let name = base.file_name().unwrap().to_string_lossy().into_owned();
        let args = ["--method", "miss", "--rank", "5"];
        let args = [&args[..], &["--targets", "att.key,ffn.value"]].concat();
        let run = place.train_on(&base, &place.rows, &format!("{name}-run"), &args);
        let ours = generate(
            &base,
            &[&PROMPT[..], &["--adapter", text(&run.out)]].concat(),
        );
        let targets = [
            json!(["attention.key", "feed_forward.value"]),
            json!(r"rwkv\.blocks\.\d+\.(attention\.key|feed_forward\.value)"),
        ];
        for (index, targets) in targets.into_iter().enumerate() {
            let theirs = place.path(&format!("{name}-{index}"));
            copy_with_peft_names(&run.out.join("adapter"), &theirs, targets);
            let args = [&PROMPT[..], &["--adapter", text(&theirs)]].concat();
            assert_eq!(generate(&base, &args), ours);
            let merged = merge(
                &base,
                &theirs,
                place.path(&format!("{name}-{index}-merged")),
            );
            assert_eq!(generate(&merged, &PROMPT), ours);
        }
    }
}

/// Writes a safetensors file with one value under a name.
fn named(path: &Path, name: &str) {
    let header = json!({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).to_string();
    let size = (header.len() as u64).to_le_bytes();
    let bytes = [&size[..], header.as_bytes(), &[0; 4]].concat();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn terminal_escapes_in_tensor_names_are_escaped() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("model"));
    named(
        &model.join("model.safetensors"),
        "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}x",
    );
    let told = bone(["inspect", text(&model)]).stdout;
    assert!(told.contains(r"\u{1b}]0;owned\u{7}"), "{told}");
    let unsafe_ = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!told.contains(unsafe_), "{told:?}");
}
