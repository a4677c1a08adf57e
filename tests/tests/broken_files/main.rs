//! Every broken or hostile file gives an error and no panic. A case is a valid file and the damage
//! to it.

mod headers;

use bone::saved::{SavedAdapter, Scan};
use bone::{peft, rwkv_peft};
use bone_lm::checkpoint::Checkpoint;
use bone_tests::fixtures;
use headers::{deep, headers, safetensors, tensor};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A copy of a valid folder.
struct Folder(tempfile::TempDir);

impl Folder {
    fn copy(from: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in std::fs::read_dir(from).expect("there") {
            let path = entry.expect("listed").path();
            let name = path.file_name().expect("a name");
            std::fs::write(
                folder.path().join(name),
                std::fs::read(&path).expect("read"),
            )
            .expect("written");
        }
        Self(folder)
    }

    fn adapter() -> Self {
        Self::copy(&fixtures().join("foreign/peft-lora/adapter"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("read")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }
}

/// Counts cases, and checks that each gives an error of readable length.
#[derive(Default)]
struct Corpus {
    cases: usize,
    wrong: Vec<String>,
}

impl Corpus {
    fn check<T>(&mut self, what: &str, read: impl FnOnce() -> Result<T, String>) {
        self.cases += 1;
        match catch_unwind(AssertUnwindSafe(read)) {
            Err(_) => self.wrong.push(format!("{what}: it panics")),
            Ok(Ok(_)) => self.wrong.push(format!("{what}: it is accepted")),
            Ok(Err(message)) if message.is_empty() || message.len() > 20_000 => {
                self.wrong.push(format!("{what}: {} bytes", message.len()));
            }
            Ok(Err(_)) => {}
        }
    }

    /// Checks that there are at least `cases`, and that each gave an error.
    #[track_caller]
    fn all(self, cases: usize) {
        println!("{} broken files", self.cases);
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        assert!(self.cases >= cases, "{} cases", self.cases);
    }
}

fn adapter(folder: &Path) -> Result<SavedAdapter, String> {
    peft::scan(folder)
        .and_then(Scan::finish)
        .map_err(|error| error.to_string())
}

fn file(path: &Path) -> Result<SavedAdapter, String> {
    rwkv_peft::scan(path, None)
        .and_then(Scan::finish)
        .map_err(|error| error.to_string())
}

fn model(path: &Path) -> Result<Checkpoint, String> {
    Checkpoint::open_path(path).map_err(|error| error.to_string())
}

#[test]
fn broken_safetensors_are_errors() {
    let mut corpus = Corpus::default();
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("model.safetensors");
    // The reader of every safetensors file. It accepts valid files.
    let whole = safetensors(&tensor("F32", "[1]", "[0,4]"), 4);
    std::fs::write(&path, whole).expect("written");
    model(&path).expect("whole");
    for (what, bytes) in headers() {
        std::fs::write(&path, &bytes).expect("written");
        corpus.check(&what, || model(&path));
        // The message must name a fault of the file, not of an adapter.
        let folder = Folder::adapter();
        folder.write(peft::TENSOR_FILE, &bytes);
        let (as_model, as_adapter) = (model(&path), adapter(folder.0.path()));
        let (Err(as_model), Err(as_adapter)) = (as_model, as_adapter) else {
            panic!("{what} is accepted");
        };
        let reason = as_model.split(": ").last().expect("a reason");
        assert!(
            as_adapter.contains(reason),
            "{what}: {as_model}; {as_adapter}"
        );
    }
    let folder = Folder::adapter();
    let whole = folder.read(peft::TENSOR_FILE);
    for percent in [1, 10, 50, 90, 99] {
        folder.write(peft::TENSOR_FILE, &whole[..whole.len() * percent / 100]);
        corpus.check(&format!("{percent} %"), || adapter(folder.0.path()));
    }
    for (what, bits) in [("NaN", 0x7fc0_0000u32), ("infinity", 0x7f80_0000)] {
        let mut bytes = whole.clone();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&bits.to_le_bytes());
        folder.write(peft::TENSOR_FILE, &bytes);
        corpus.check(what, || adapter(folder.0.path()));
    }
    corpus.all(40);
}

#[test]
fn broken_adapter_configs_are_errors() {
    let mut corpus = Corpus::default();
    let folder = Folder::adapter();
    let config: Value = serde_json::from_slice(&folder.read(peft::CONFIG_FILE)).expect("JSON");
    let mut texts: Vec<(String, Vec<u8>)> = [
        ("nothing", String::new()),
        ("no JSON", "{".into()),
        ("a list", "[]".into()),
        ("a number", "1".into()),
        ("deep JSON", deep(100_000)),
        ("nothing said", "{}".into()),
        ("20 MB", format!("{{\"a\": \"{}\"}}", "x".repeat(20 << 20))),
    ]
    .into_iter()
    .map(|(what, text): (&str, String)| (what.into(), text.into_bytes()))
    .collect();
    texts.push(("no UTF-8".into(), b"{\"r\": \"\xff\"}".to_vec()));
    for (key, value) in [
        ("peft_type", json!("VERA")),
        ("peft_type", json!(7)),
        ("peft_type", json!("LORA_WITH_PARAMETERS")),
        ("peft_type", json!("MISS")),
        ("peft_type", json!("BONE_INPUT")),
        ("r", json!(0)),
        ("r", json!(-1)),
        ("r", json!(1.5)),
        ("r", json!("8")),
        ("r", json!(1e30)),
        ("r", json!(u64::MAX)),
        ("r", json!(5)),
        ("target_modules", json!(3)),
        ("target_modules", json!([1])),
        ("target_modules", json!({"a": 1})),
        ("target_modules", json!(null)),
        ("exclude_modules", json!(3)),
        ("layers_to_transform", json!([-1])),
        ("layers_to_transform", json!("all")),
        ("layers_pattern", json!("h")),
        ("lora_alpha", json!("8")),
        ("lora_alpha", json!(0)),
        ("lora_alpha", json!(-4)),
        ("use_rslora", json!("yes")),
        ("lora_dropout", json!(1)),
        ("lora_dropout", json!("much")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!(3)),
        ("bias", json!("all")),
        ("modules_to_save", json!("lm_head")),
        ("modules_to_save", json!([""])),
        ("parameters_to_save", json!(["norm.weight"])),
        ("use_dora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("rank_pattern", json!({"q_proj": 2})),
        ("alpha_pattern", json!({"q_proj": 2})),
        ("made_up", json!(1)),
    ] {
        let mut changed = config.clone();
        changed[key] = value.clone();
        texts.push((format!("{key}: {value}"), changed.to_string().into_bytes()));
    }
    let twice = r#"{"r": 4, "peft_type": "LORA", "r": 8}"#;
    texts.push(("a key twice".into(), twice.into()));
    for (what, bytes) in texts {
        folder.write(peft::CONFIG_FILE, &bytes);
        corpus.check(&what, || adapter(folder.0.path()));
    }
    corpus.all(45);
}

/// Adapters with a valid header.
#[test]
fn contradictory_adapters_are_errors() {
    let mut corpus = Corpus::default();
    let config = |folder: &Folder, key: &str, value: Value| {
        let bytes = folder.read(peft::CONFIG_FILE);
        let mut config: Value = serde_json::from_slice(&bytes).expect("JSON");
        config[key] = value;
        folder.write(peft::CONFIG_FILE, config.to_string().as_bytes());
    };
    for (key, value) in [
        ("target_modules", json!(["q_proj"])),
        ("target_modules", json!(["q_proj", "nothing"])),
        ("target_modules", json!("(")),
        ("target_modules", json!(r".*\.q_proj")),
        ("exclude_modules", json!(["q_proj"])),
        ("layers_to_transform", json!([99])),
        ("layers_to_transform", json!([0])),
        ("modules_to_save", json!(["lm_head"])),
    ] {
        let folder = Folder::adapter();
        config(&folder, key, value.clone());
        corpus.check(&format!("{key}: {value}"), || adapter(folder.0.path()));
    }
    // One layer of one block is missing.
    let whole = fixtures().join("foreign/rwkv-peft-miss/adapter.pth");
    let whole = Checkpoint::open_file(&whole).expect("whole");
    let gone = "blocks.1.ffn.value.bone";
    let tensors = whole.tensors().filter(|(name, _)| *name != gone);
    let tensors = tensors.map(|(name, _)| (name.to_owned(), whole.data(name).expect("there")));
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("adapter.pth");
    bone_lm::checkpoint::save_pth(&path, &tensors.collect()).expect("written");
    let error = file(&path).expect_err("a tensor too few");
    assert!(error.contains(gone), "{error}");
    corpus.check("a tensor too few", || file(&path));
    corpus.all(9);
}

#[test]
fn broken_torch_files_are_errors() {
    let mut corpus = Corpus::default();
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("adapter.pth");
    let whole = std::fs::read(fixtures().join("foreign/rwkv-peft-disha/adapter.pth"));
    let whole = whole.expect("read");
    for percent in [0, 1, 5, 20, 50, 80, 95, 99] {
        std::fs::write(&path, &whole[..whole.len() * percent / 100]).expect("written");
        corpus.check(&format!("{percent} %"), || file(&path));
    }
    // Pickles that do more than hold data, and torch files that are not a dict of tensors.
    for entry in std::fs::read_dir(fixtures().join("pth")).expect("there") {
        let path = entry.expect("listed").path();
        let twin = path.with_extension("safetensors");
        if path.extension().is_some_and(|ending| ending == "pth") && !twin.exists() {
            corpus.check(&path.display().to_string(), || model(&path));
        }
    }
    corpus.all(15);

    // A flipped bit may be harmless; the worst result is an error.
    let mut wrong = Vec::new();
    let mut state = 9u64;
    for _ in 0..400 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let mut bytes = whole.clone();
        let bit = (state >> 20) as usize % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).expect("written");
        if catch_unwind(|| drop(file(&path))).is_err() {
            wrong.push(bit);
        }
    }
    assert!(wrong.is_empty(), "bits {wrong:?} make it panic");
}

#[test]
fn broken_indices_and_linked_files_are_errors() {
    let mut corpus = Corpus::default();
    let index = "model.safetensors.index.json";
    let shard = "model-00001-of-00002.safetensors";
    let outside = tempfile::tempdir().expect("a folder");
    let stranger = outside.path().join("stranger.safetensors");
    std::fs::write(&stranger, safetensors("{}", 0)).expect("written");
    for name in [
        "../stranger.safetensors",
        "/etc/passwd",
        "..\\stranger.safetensors",
        "C:stranger.safetensors",
        "C:\\stranger.safetensors",
        "sub/stranger.safetensors",
        "./model-00001-of-00002.safetensors",
        "..",
        "",
        "nul\u{0}.safetensors",
        "absent.safetensors",
        "config.json",
    ] {
        let folder = Folder::copy(&fixtures().join("llama-tiny-tied"));
        let text = String::from_utf8(folder.read(index)).expect("UTF-8");
        let name = serde_json::to_string(name).expect("JSON");
        folder.write(
            index,
            text.replace(&format!("\"{shard}\""), &name).as_bytes(),
        );
        corpus.check(&name, || model(folder.0.path()));
    }
    for (what, text) in [
        ("no JSON", "{".to_string()),
        ("a list", "[]".into()),
        ("no map", "{}".into()),
        ("a list for a map", r#"{"weight_map": []}"#.into()),
        ("a number for a file", r#"{"weight_map": {"a": 1}}"#.into()),
        ("an empty map", r#"{"weight_map": {}}"#.into()),
        (
            "deep JSON",
            format!(r#"{{"weight_map": {}}}"#, deep(100_000)),
        ),
        (
            "a name twice",
            format!(r#"{{"weight_map": {{"a": "{shard}", "a": "{shard}"}}}}"#),
        ),
        (
            "a tensor that is not there",
            format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#),
        ),
    ] {
        let folder = Folder::copy(&fixtures().join("llama-tiny-tied"));
        folder.write(index, text.as_bytes());
        corpus.check(what, || model(folder.0.path()));
    }
    #[cfg(unix)]
    for name in [peft::TENSOR_FILE, peft::CONFIG_FILE] {
        let folder = Folder::adapter();
        let elsewhere = outside.path().join(name);
        std::fs::write(&elsewhere, folder.read(name)).expect("written");
        std::fs::remove_file(folder.path(name)).expect("removed");
        std::os::unix::fs::symlink(&elsewhere, folder.path(name)).expect("linked");
        corpus.check(&format!("{name} is a link"), || adapter(folder.0.path()));
        std::fs::remove_file(folder.path(name)).expect("removed");
        std::fs::create_dir(folder.path(name)).expect("made");
        corpus.check(&format!("{name} is a folder"), || adapter(folder.0.path()));
    }
    corpus.all(20);
}
