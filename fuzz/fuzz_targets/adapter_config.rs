//! `adapter_config.json` beside the tensors of a LoRA, and of an adapter of one block a layer.
#![no_main]

use bone::peft::{self, CONFIG_FILE, TENSOR_FILE};
use bone::saved::Scan;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tempfile::TempDir;

const LAYER: &str = "base_model.model.model.layers.0.self_attn.q_proj";

/// F32 tensors of these names and shapes, zeros.
fn tensors(tensors: &[(&str, [usize; 2])]) -> Vec<u8> {
    let (mut header, mut end) = (String::new(), 0);
    for (name, [rows, columns]) in tensors {
        let start = end;
        end += 4 * rows * columns;
        let comma = if header.is_empty() { "" } else { "," };
        header += &format!(
            r#"{comma}"{LAYER}.{name}":{{"dtype":"F32","shape":[{rows},{columns}],"data_offsets":[{start},{end}]}}"#
        );
    }
    let header = format!("{{{header}}}");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + end, 0);
    bytes
}

static FOLDERS: LazyLock<[TempDir; 2]> = LazyLock::new(|| {
    let lora = tensors(&[("lora_A.weight", [4, 16]), ("lora_B.weight", [16, 4])]);
    let miss = tensors(&[("miss_block", [4, 16])]);
    [lora, miss].map(|bytes| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(TENSOR_FILE), bytes).expect("written");
        folder
    })
});

fuzz_target!(|bytes: &[u8]| {
    for folder in &*FOLDERS {
        std::fs::write(folder.path().join(CONFIG_FILE), bytes).expect("written");
        if let Err(error) = peft::scan(folder.path()).and_then(Scan::finish) {
            bone_fuzz::bounded(error);
        }
    }
});
