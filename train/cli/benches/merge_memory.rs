//! Peak memory of `bone merge` on a random LLaMA of about 1 GB in five files.
//!
//! `cargo bench -p bone-cli --bench merge_memory`. Exit code 1 if writing takes more than 1.3 times the
//! largest of these files plus 200 MB.

use bone::saved::SavedAdapter;
use bone_cli::commands::merge::{MergeArgs, merge};
use bone_lm::checkpoint::{Dtype, Planned, SaveError, save_streamed};
use bone_train::memory::peak_resident_bytes;
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::path::Path;

const HIDDEN: usize = 2048;
const INTERMEDIATE: usize = 5504;
const LAYERS: usize = 4;
const VOCAB: usize = 32_000;
const RANK: usize = 32;

/// Returns numbers of about the size of weights, computed from their index.
fn values(name: &str, shape: &[usize], size: f32) -> TensorData {
    let mut state = name.bytes().fold(1u32, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    let len: usize = shape.iter().product();
    let values: Vec<f32> = (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            size * (state as f32 / u32::MAX as f32 - 0.5)
        })
        .collect();
    TensorData::new(values, shape.to_vec())
}

/// Linear layers of a block: name, outputs, inputs.
const LINEAR: [(&str, usize, usize); 7] = [
    ("self_attn.q_proj", HIDDEN, HIDDEN),
    ("self_attn.k_proj", HIDDEN, HIDDEN),
    ("self_attn.v_proj", HIDDEN, HIDDEN),
    ("self_attn.o_proj", HIDDEN, HIDDEN),
    ("mlp.gate_proj", INTERMEDIATE, HIDDEN),
    ("mlp.up_proj", INTERMEDIATE, HIDDEN),
    ("mlp.down_proj", HIDDEN, INTERMEDIATE),
];

fn planned(name: String, shape: &[usize]) -> Planned {
    Planned {
        name,
        dtype: Dtype::F32,
        shape: shape.to_vec(),
    }
}

/// Writes the model and returns the bytes of its largest file.
fn write_model(folder: &Path) -> u64 {
    let mut shards = vec![vec![
        planned("model.embed_tokens.weight".into(), &[VOCAB, HIDDEN]),
        planned("model.norm.weight".into(), &[HIDDEN]),
    ]];
    for layer in 0..LAYERS {
        let path = format!("model.layers.{layer}");
        let norms = ["input_layernorm", "post_attention_layernorm"];
        let norms = norms.map(|name| planned(format!("{path}.{name}.weight"), &[HIDDEN]));
        let linear = LINEAR.iter().map(|(name, d_output, d_input)| {
            planned(format!("{path}.{name}.weight"), &[*d_output, *d_input])
        });
        shards.push(linear.chain(norms).collect());
    }
    let shapes: BTreeMap<_, _> = shards
        .iter()
        .flatten()
        .map(|planned| (planned.name.clone(), planned.shape.clone()))
        .collect();
    let size = |shard: &Vec<Planned>| shard.iter().map(Planned::bytes).sum();
    let largest = shards.iter().map(size).max().unwrap_or(0);
    std::fs::create_dir_all(folder).expect("made");
    let data = |name: &str| Ok::<_, SaveError>(values(name, &shapes[name], 0.04));
    save_streamed(folder, shards, &BTreeMap::new(), data).expect("written");
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS, "num_attention_heads": 16, "num_key_value_heads": 16,
        "vocab_size": VOCAB, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
        "attention_bias": false, "mlp_bias": false, "bos_token_id": 1, "eos_token_id": 2,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).expect("written");
    largest
}

/// Writes bone on the output axis for every projection, in PEFT's format.
fn write_adapter(folder: &Path) {
    let layers = (0..LAYERS).flat_map(|layer| {
        LINEAR.map(|(name, d_output, _)| {
            let path = format!("model.layers.{layer}.{name}");
            let key = format!("base_model.model.{path}.miss_block");
            (key, vec![d_output / RANK, RANK, RANK])
        })
    });
    let shapes: BTreeMap<_, _> = layers.collect();
    let all = shapes
        .iter()
        .map(|(name, shape)| planned(name.clone(), shape));
    let data = |name: &str| Ok::<_, SaveError>(values(name, &shapes[name], 0.002));
    std::fs::create_dir_all(folder).expect("made");
    save_streamed(folder, vec![all.collect()], &BTreeMap::new(), data).expect("written");
    let (from, to) = ("model.safetensors", bone::peft::TENSOR_FILE);
    std::fs::rename(folder.join(from), folder.join(to)).expect("renamed");
    let config = serde_json::json!({
        "peft_type": "MISS", "init_weights": "bat", "r": RANK, "target_modules": "all-linear",
    });
    std::fs::write(folder.join(bone::peft::CONFIG_FILE), config.to_string()).expect("written");
    let saved = bone::peft::scan(folder).and_then(bone::saved::Scan::finish);
    let saved: SavedAdapter = saved.expect("as PEFT writes it");
    assert_eq!(saved.layers.len(), 7 * LAYERS);
}

/// Environment variable with the folder of the files. A separate process merges, so that making the files
/// does not count as its memory.
const PLACE: &str = "BONE_BENCH_PLACE";
const LARGEST: &str = "BONE_BENCH_LARGEST";

fn main() {
    if let Some(place) = std::env::var_os(PLACE) {
        let largest = std::env::var(LARGEST)
            .ok()
            .and_then(|text| text.parse().ok());
        return measure(Path::new(&place), largest.expect("given beside it"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let largest = write_model(&folder.path().join("model"));
    write_adapter(&folder.path().join("adapter"));
    let status = std::process::Command::new(std::env::current_exe().expect("this program"))
        .env(PLACE, folder.path())
        .env(LARGEST, largest.to_string())
        .status();
    if !status.expect("started").success() {
        drop(folder);
        std::process::exit(1);
    }
}

fn measure(folder: &Path, largest: u64) {
    let place = |name: &str| folder.join(name);
    let args = MergeArgs {
        model: place("model"),
        adapter: vec![place("adapter")],
        out: place("merged"),
        device: "cpu".into(),
        ..MergeArgs::default()
    };
    let merged = merge(&args).expect("they agree");
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let bound = 1.3 * mb(largest) + 200.0;
    println!("largest file of the model    {:8.0} MB", mb(largest));
    println!(
        "peak memory of the write     {:8.0} MB",
        mb(merged.peak_of_write)
    );
    println!("1.3 x the file + 200 MB      {bound:8.0} MB");
    println!(
        "peak memory with the check   {:8.0} MB",
        mb(peak_resident_bytes())
    );
    println!("merged vs. adapted: {}", merged.agreement);
    if mb(merged.peak_of_write) > bound {
        std::process::exit(1);
    }
}
