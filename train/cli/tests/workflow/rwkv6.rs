//! The same commands on RWKV6: from `.pth`, safetensors and a Hugging Face folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{bone, copy_fixture, fixture, text};
use crate::runs::{Place, Run, generate, merge, tensors};

const PROMPT: [&str; 2] = ["--prompt", "say ab 4"];

/// Copies a fixture, with a tokenizer and the end-of-sequence token beside the weights.
pub(crate) fn model(place: &Place, name: &str) -> PathBuf {
    let to = copy_fixture(name, &place.path(name));
    if !to.join("config.json").exists() {
        let tokenizer = fixture("rwkv6-tiny/tokenizer.json");
        std::fs::copy(tokenizer, to.join("tokenizer.json")).unwrap();
        let tokens = "{\"bos_token_id\": 1, \"eos_token_id\": 2}";
        std::fs::write(to.join("generation_config.json"), tokens).unwrap();
    }
    to
}

/// Returns a fixture's model with its tokenizer: a folder, or the `.pth` in it.
pub(crate) fn named(place: &Place, name: &str) -> PathBuf {
    let folder = model(place, name);
    let pth = folder.join("model.pth");
    if pth.exists() { pth } else { folder }
}

fn assert_loss_lowered(run: &Run, by: f64) {
    let (first, last) = run.first_and_last_validation();
    assert!(last < by * first, "held-out loss {first} → {last}");
}

fn continuation(text: &str) -> &str {
    let new = text.trim_end().strip_prefix(PROMPT[1]).unwrap();
    assert!(!new.trim().is_empty(), "{text:?}");
    new
}

/// Trains an adapter on `base` and merges it. The merged model must give the same text as the adapted one,
/// have the base's tensors under the base's names, and have the loss from the end of training.
#[track_caller]
fn adapter_workflow(place: &Place, base: &Path, args: &[&str]) -> (Run, PathBuf) {
    let out = args.concat();
    let run = place.train_on(base, &place.rows, &out, args);
    assert_loss_lowered(&run, 0.9);

    let merged = merge(base, &run.out, place.path(&format!("merged{out}")));
    let adapted = generate(
        base,
        &[&PROMPT[..], &["--adapter", text(&run.out)]].concat(),
    );
    continuation(&adapted);
    assert_eq!(adapted, generate(&merged, &PROMPT));
    assert_ne!(
        adapted,
        generate(base, &PROMPT),
        "the adapter changes nothing"
    );

    let next = ["--max-steps", "1", "--rank", "2", "--dtype", "f32"];
    let next = place.train_on(&merged, &place.rows, &format!("next{out}"), &next);
    let (_, last) = run.first_and_last_validation();
    // A merged bf16 weight keeps 8 bits.
    next.assert_starts_at(last, 0.02 * last);
    (run, merged)
}

fn names(file: &Path) -> BTreeSet<String> {
    tensors(file).into_keys().collect()
}

#[test]
fn rwkv_safetensors_train_and_merge_with_defaults() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny");
    let (run, merged) = adapter_workflow(&place, &base, &["--rank", "8"]);
    let config = std::fs::read_to_string(run.out.join("adapter/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        config["peft_type"], "BONE_INPUT",
        "the default axis is the input"
    );
    let adapted = tensors(&run.out.join("adapter/adapter_model.safetensors"));
    assert_eq!(
        adapted.len(),
        3 * 8,
        "five layers of the time mix, three of the channel mix"
    );

    let file = merged.join("model.safetensors");
    assert_eq!(names(&file), names(&base.join("model.safetensors")));
    assert!(merged.join("tokenizer.json").is_file());
    // The merged file alone is a model too.
    assert_eq!(
        generate(&file, &PROMPT),
        generate(&merged, &PROMPT),
        "by file and by folder"
    );

    let again = place.path("again");
    let settings = run.out.join("config.toml");
    bone(["train", text(&settings), "--out", text(&again)]).succeeded();
    assert_eq!(Run::read(again).numbers(), run.numbers());
}

#[test]
fn a_pth_becomes_safetensors_of_the_same_names() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny-pth").join("model.pth");
    let (run, merged) = adapter_workflow(&place, &base, &["--rank", "8"]);
    let merged = merged.join("model.safetensors");
    let of_safetensors = fixture("rwkv6-tiny/model.safetensors");
    assert_eq!(names(&merged), names(&of_safetensors));
    for (name, (dtype, _)) in tensors(&merged) {
        assert_eq!(dtype, "BF16", "{name}: the precision of the .pth");
    }
    // The same values, stored in f32.
    let same = model(&place, "rwkv6-tiny");
    let same = place.train_on(&same, &place.rows, "same", &["--rank", "8"]);
    let (first, _) = same.first_and_last_validation();
    let (of_pth, _) = run.first_and_last_validation();
    assert!((first - of_pth).abs() < 1e-5, "{first} and {of_pth}");
}

#[test]
fn hugging_face_folder_keeps_tensor_names() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny-head12");
    let (_, merged) = adapter_workflow(&place, &base, &["--rank", "2"]);
    let names = names(&merged.join("model.safetensors"));
    assert!(
        names.contains("rwkv.blocks.0.attention.time_maa_x"),
        "{names:?}"
    );
    assert!(merged.join("config.json").is_file());
}

#[test]
fn other_methods_train_and_merge_rwkv6() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny");
    let methods: [&[&str]; 7] = [
        &["--method", "bone", "--block-axis", "output", "--rank", "8"],
        &["--method", "miss", "--rank", "7", "--dropout", "0.1"],
        &["--method", "miss-mini", "--rank", "8", "--mini-width", "4"],
        &["--rank", "8", "--targets", "key,value"],
        &["--method", "lora", "--rank", "8"],
        &["--method", "pissa", "--rank", "4"],
        &["--method", "olora", "--rank", "4"],
    ];
    for args in methods {
        adapter_workflow(&place, &base, args);
    }
}

#[test]
fn parts_train_whole_beside_the_adapters() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny");
    let args = ["--rank", "8", "--train-parts", "time,ln,emb,head"];
    let (run, merged) = adapter_workflow(&place, &base, &args);
    let saved = tensors(&run.out.join("adapter/adapter_model.safetensors"));
    let before = tensors(&base.join("model.safetensors"));
    let after = tensors(&merged.join("model.safetensors"));
    let mut whole = 0;
    for (name, tensor) in &before {
        // The file stores values, not differences, under the tensor's own name.
        if let Some(value) = saved.get(&format!("base_model.model.{name}")) {
            assert_eq!(&after[name], value, "{name}");
            whole += 1;
        }
        assert_ne!(&after[name], tensor, "{name} has not moved");
    }
    assert_eq!(saved.len(), whole + 3 * 8);
    assert_eq!(
        before.len(),
        whole + 3 * 8,
        "everything but the linear layers"
    );
}

#[test]
fn an_initial_state_is_tuned_saved_and_merged() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny");
    let args = ["--method", "state", "--learning-rate", "0.3"];
    let run = place.train_on(&base, &place.rows, "out", &args);
    assert_loss_lowered(&run, 0.99);
    let saved = tensors(&run.out.join("adapter/adapter_model.safetensors"));
    let states: Vec<_> = (0..3)
        .map(|layer| format!("blocks.{layer}.att.time_state"))
        .collect();
    let saved_names: Vec<_> = saved.keys().cloned().collect();
    assert_eq!(saved_names, states, "as RWKV's trainers name them");

    let merged = merge(&base, &run.out, place.path("merged"));
    let file = tensors(&merged.join("model.safetensors"));
    for state in &states {
        assert_eq!(file[state], saved[state], "{state}");
    }
    assert_eq!(
        file.len(),
        3 + tensors(&base.join("model.safetensors")).len()
    );
    let adapted = generate(
        &base,
        &[&PROMPT[..], &["--adapter", text(&run.out)]].concat(),
    );
    assert_eq!(adapted, generate(&merged, &PROMPT));
    // The merged model is a model, not a file of states.
    let inspected = bone(["inspect", text(&merged)]).succeeded().stdout;
    assert!(inspected.starts_with("model: RWKV6"), "{inspected}");
    let next = ["--max-steps", "1", "--rank", "8"];
    let next = place.train_on(&merged, &place.rows, "next", &next);
    let (_, last) = run.first_and_last_validation();
    next.assert_starts_at(last, 1e-4);
}

#[test]
fn long_text_loss_in_chunks_equals_whole_loss() {
    let place = Place::new();
    let data = place.path("text.txt");
    std::fs::write(
        &data,
        "the cat sat on the mat, the dog on the rug\n".repeat(60),
    )
    .unwrap();
    let base = model(&place, "rwkv6-tiny");
    let train = |out, rest: &[&str]| {
        let args = ["--rank", "8", "--max-seq-len", "256"];
        let args = [&args[..], &["--batch-size", "1", "--max-steps", "4"], rest].concat();
        place.train_on(&base, &data, out, &args)
    };
    let whole = train("whole", &[]);
    let pieces = train("pieces", &["--chunk-ctx", "48"]);
    // Before the first update the weights are equal. After it the gradients differ, because they are cut at
    // the pieces' boundaries.
    let first = |run: &Run| (run.losses()[0], run.first_and_last_validation().0);
    let ((loss, held_out), (loss_of, held_out_of)) = (first(&whole), first(&pieces));
    assert!((loss - loss_of).abs() < 1e-5, "{loss} and {loss_of}");
    assert!(
        (held_out - held_out_of).abs() < 1e-5,
        "{held_out} and {held_out_of}"
    );
    assert_ne!(whole.losses(), pieces.losses());
    assert!(pieces.losses().iter().all(|loss| loss.is_finite()));
}

#[test]
fn random_weights_come_from_a_configuration() {
    let place = Place::new();
    let base = place.path("shapes");
    std::fs::create_dir(&base).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(fixture("rwkv6-tiny-head12").join(file), base.join(file)).unwrap();
    }
    let args = ["--init", "random", "--method", "full", "--seed", "3"];
    let run = place.train_on(&base, &place.rows, "out", &args);
    let (first, _) = run.first_and_last_validation();
    let uniform = 96_f64.ln();
    assert!(
        (first - uniform).abs() < 0.2,
        "{first}, a uniform guess has {uniform}"
    );
    assert_loss_lowered(&run, 0.9);
    continuation(&generate(&run.out.join("model"), &PROMPT));
}

#[test]
fn merge_writes_the_given_dtype() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny-pth").join("model.pth");
    let run = place.train_on(&base, &place.rows, "out", &["--rank", "8"]);
    for dtype in ["f32", "bf16", "f16"] {
        let out = place.path(dtype);
        let args = [
            "--adapter",
            text(&run.out),
            "--out",
            text(&out),
            "--dtype",
            dtype,
        ];
        bone(["merge", "--model", text(&base)].iter().chain(&args)).succeeded();
        let wanted = dtype.to_uppercase();
        for (name, (dtype, _)) in tensors(&out.join("model.safetensors")) {
            assert_eq!(dtype, wanted, "{name}");
        }
    }
}

/// The two commands of the original Bone repository, on a few rows. Such a short run changes less than a
/// bf16 weight can store, which is not an error of the merge.
#[cfg(unix)]
#[test]
fn the_scripts_train_and_merge() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny-pth").join("model.pth");
    let rows = place.path("metamath.jsonl");
    let lines = (0..12).map(|n| {
        let row = serde_json::json!({"query": format!("What is {n}+1?"), "response": (n + 1).to_string()});
        format!("{row}\n")
    });
    std::fs::write(&rows, lines.collect::<String>()).unwrap();
    let script = |name: &str, args: &[&str]| {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scripts/rwkv6");
        let mut command = std::process::Command::new(scripts.join(name));
        for name in ["MODEL", "DATA", "ADAPTER", "OUT"] {
            command.env_remove(name);
        }
        let ran = command
            .args(args)
            .env("BONE", env!("CARGO_BIN_EXE_bone"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{name}: {said}");
    };
    let (run, merged) = (place.path("run"), place.path("merged"));
    // The default rank of 64 divides no layer of such a small model.
    let smaller = ["--rank", "8", "--validation", "0"];
    let names = [text(&base), text(&rows), text(&run)];
    script("run_bone.sh", &[&names[..], &smaller].concat());
    script("merge_bone.sh", &[text(&base), text(&run), text(&merged)]);
    continuation(&generate(&merged, &PROMPT));
}

#[test]
fn random_weights_use_sizes_of_weight_file() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny");
    let args = ["--init", "random", "--method", "full", "--max-steps", "2"];
    let of_folder = place.train_on(&base, &place.rows, "folder", &args);
    let file = base.join("model.safetensors");
    let of_file = place.train_on(&file, &place.rows, "file", &args);
    assert_eq!(of_folder.numbers(), of_file.numbers());
}
