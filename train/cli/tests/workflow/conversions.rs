//! `convert`, `inspect`, and the features of `merge` beyond merging one adapter.

use std::path::{Path, PathBuf};

use crate::command::{Ran, bone, copy_fixture, fixture, text};
use crate::runs::{Place, generate, merge, tensors};
use crate::rwkv6::model;

const PROMPT: [&str; 2] = ["--prompt", "say ab 4"];

fn adapted(base: &Path, adapter: &Path) -> String {
    generate(base, &[&PROMPT[..], &["--adapter", text(adapter)]].concat())
}

fn refused(ran: &Ran, why: &str) {
    assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
    assert!(ran.stderr.contains(why), "no {why:?} in {}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

fn convert(from: &Path, to: &str, out: &Path, more: &[&str]) -> Ran {
    let args = ["convert", text(from), "--to", to, "--out", text(out)];
    bone(args.iter().chain(more))
}

/// Returns the values of a safetensors file of f32, tensor by tensor.
fn values(file: &Path) -> Vec<f32> {
    let tensors = tensors(file).into_values();
    tensors
        .flat_map(|(dtype, bytes)| {
            assert_eq!(dtype, "F32");
            let (numbers, _) = bytes.as_chunks::<4>();
            let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
            numbers.collect::<Vec<_>>()
        })
        .collect()
}

fn largest_difference(a: &Path, b: &Path) -> f32 {
    let (a, b) = (values(a), values(b));
    assert_eq!(a.len(), b.len());
    let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
    off.fold(0.0, f32::max)
}

/// Converts an adapter to every format that supports it and back. Checks the error of every other format.
fn convert_to_every_format(
    place: &Place,
    base: &Path,
    method: &[&str],
    holds: &[&str],
    says: &str,
) {
    let out = method.concat();
    let run = place.train_on(base, &place.rows, &out, method).out;
    let expected = adapted(base, &run);
    assert_ne!(expected, generate(base, &PROMPT), "{out} changes nothing");
    for to in ["peft", "lora", "rwkv-pth", "rwkv-safetensors"] {
        let path = place.path(&format!("{out}-{to}"));
        let ran = convert(&run, to, &path, &["--model", text(base)]);
        if !holds.contains(&to) {
            refused(&ran, says);
            assert!(!path.exists(), "{out} as {to}");
            continue;
        }
        ran.succeeded();
        let flag = match (to, says) {
            ("rwkv-pth", "bone") if text(base).contains("llama") => &["--block-axis", "output"][..],
            _ => &[],
        };
        let args = [&PROMPT[..], &["--adapter", text(&path)], flag].concat();
        assert_eq!(generate(base, &args), expected, "{out} as {to}");
        let args = ["inspect", text(&path), "--model", text(base)];
        let seen = bone(args.iter().chain(flag)).succeeded().stdout;
        let kind = if to == "lora" { "lora" } else { says };
        assert!(seen.contains(&format!("adapter: {kind}")), "{seen}");
        assert!(
            seen.contains(": yes") && seen.contains("all values are finite"),
            "{seen}"
        );
        // An existing file must not change.
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        let why = if path.is_dir() {
            "not empty"
        } else {
            "already exists"
        };
        refused(&convert(&run, to, &path, &["--model", text(base)]), why);
        assert_eq!(
            std::fs::metadata(&path).unwrap().modified().unwrap(),
            before
        );
        // Converts back.
        let back = place.path(&format!("{out}-{to}-back"));
        convert(&path, "peft", &back, flag).succeeded();
        assert_eq!(adapted(base, &back), expected, "{out} from {to}");
    }
}

#[test]
fn llama_adapters_convert_to_every_format() {
    let place = Place::new();
    let base = fixture("llama-tiny");
    let files = ["peft", "rwkv-pth", "rwkv-safetensors"];
    convert_to_every_format(&place, &base, &["--rank", "4"], &files, "bone");
    let all = ["peft", "lora", "rwkv-pth", "rwkv-safetensors"];
    let miss = ["--method", "miss", "--rank", "8"];
    convert_to_every_format(&place, &base, &miss, &all, "miss");
    let mini = ["--method", "miss-mini", "--rank", "8", "--mini-width", "4"];
    convert_to_every_format(&place, &base, &mini, &["peft", "lora"], "miss-mini");
    let lora = ["--method", "pissa", "--rank", "2"];
    convert_to_every_format(&place, &base, &lora, &["peft", "lora"], "lora");
}

#[test]
fn rwkv6_adapters_convert_to_every_format() {
    let place = Place::new();
    let base = model(&place, "rwkv6-tiny");
    let files = ["peft", "rwkv-pth", "rwkv-safetensors"];
    convert_to_every_format(&place, &base, &["--rank", "8"], &files, "bone");
    let all = ["peft", "lora", "rwkv-pth", "rwkv-safetensors"];
    let miss = ["--method", "miss", "--rank", "5"];
    convert_to_every_format(&place, &base, &miss, &all, "miss");
}

#[test]
fn bone_converts_to_lora_of_given_rank() {
    let place = Place::new();
    let base = fixture("llama-tiny");
    let run = place.train("run", &["--rank", "4"]).out;
    let lora = |out: &str, how: &[&str]| {
        let path = place.path(out);
        let args = [&["--model", text(&base)], how].concat();
        (convert(&run, "lora", &path, &args), path)
    };
    refused(&lora("none", &[]).0, "`--energy 0.99`");
    let (ran, path) = lora("whole", &["--rank", "999"]);
    let said = ran.succeeded().stdout;
    assert!(said.contains(" 0.00 % of "), "{said}");
    assert!(!said.contains("-0.00"), "{said}");
    assert_eq!(adapted(&base, &path), adapted(&base, &run));
    let (ran, _) = lora("thin", &["--energy", "0.5"]);
    let said = ran.succeeded().stdout;
    assert!(said.contains("at worst "), "{said}");
}

/// Merges in order, and takes the adapters out again.
#[test]
fn several_adapters_merge_and_unmerge() {
    let place = Place::new();
    let base = fixture("llama-tiny");
    let bone_run = place.train("bone", &["--rank", "4"]).out;
    let miss_run = place
        .train("miss", &["--method", "miss", "--rank", "8"])
        .out;
    let run = |model: &Path, order: [&PathBuf; 2], out: &str, more: &[&str]| {
        let out = place.path(out);
        let mut args = vec!["merge", "--model", text(model), "--out", text(&out)];
        order
            .iter()
            .for_each(|adapter| args.extend(["--adapter", text(adapter)]));
        let said = bone(args.iter().chain(more)).succeeded().stdout;
        (out.join("model.safetensors"), said)
    };
    let order = [&bone_run, &miss_run];
    let (first, said) = run(&base, order, "first", &[]);
    assert!(said.contains("merged vs. adapted"), "{said}");
    let (second, _) = run(&base, [&miss_run, &bone_run], "second", &[]);
    assert!(
        largest_difference(&first, &second) > 1e-4,
        "bone does not commute"
    );

    let merged = place.path("first");
    let (back, said) = run(&merged, order, "back", &["--unmerge"]);
    assert!(said.contains("unmerged: "), "{said}");
    let off = largest_difference(&back, &base.join("model.safetensors"));
    assert!(off < 1e-5, "{off}");
}

#[test]
fn pissa_factors_cannot_be_unmerged() {
    let place = Place::new();
    let base = fixture("llama-tiny");
    let adapter = fixture("foreign/peft-pissa/adapter");
    let merged = merge(&base, &adapter, place.path("merged"));
    let unmerge = |adapter: &Path, out: &Path| {
        let args = ["merge", "--unmerge", "--model", text(&merged)];
        bone(
            args.iter()
                .chain(&["--adapter", text(adapter), "--out", text(out)]),
        )
    };
    let out = place.path("base-again");
    refused(&unmerge(&adapter, &out), "convert --to lora");
    assert!(!out.exists());
    let lora = place.path("lora");
    convert(&adapter, "lora", &lora, &["--model", text(&base)]).succeeded();
    unmerge(&lora, &out).succeeded();
    let (out, base) = (
        out.join("model.safetensors"),
        base.join("model.safetensors"),
    );
    let off = largest_difference(&out, &base);
    assert!(off < 1e-5, "{off}");
}

#[test]
fn merged_model_is_split_into_shards() {
    let place = Place::new();
    let base = fixture("llama-tiny");
    let run = place.train("run", &["--rank", "4"]).out;
    let one = merge(&base, &run, place.path("one"));
    let several = place.path("several");
    let args = ["merge", "--model", text(&base), "--adapter", text(&run)];
    let more = ["--max-shard-size", "20KB", "--out", text(&several)];
    bone(args.iter().chain(&more)).succeeded();
    assert!(several.join("model.safetensors.index.json").is_file());
    let files = std::fs::read_dir(&several).unwrap().flatten();
    let sizes: Vec<_> = files
        .filter(|file| file.path().extension().is_some_and(|e| e == "safetensors"))
        .map(|file| file.metadata().unwrap().len())
        .collect();
    assert!(sizes.len() > 2, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 25_000), "{sizes:?}");
    assert_eq!(generate(&several, &PROMPT), generate(&one, &PROMPT));
}

/// The logits are so large that f32 rounding exceeds the tolerance of a merge.
#[test]
fn failed_merge_check_leaves_no_files() {
    let place = Place::new();
    let miss = ["--method", "miss", "--rank", "8", "--targets", "lm_head"];
    let run = place.train("run", &miss).out;
    let file = run.join("adapter/adapter_model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let (values, _) = bytes[8 + header..].as_chunks_mut::<4>();
    for value in values {
        *value = (f32::from_le_bytes(*value) * 1e6).to_le_bytes();
    }
    std::fs::write(&file, bytes).unwrap();
    let out = place.path("merged");
    let base = fixture("llama-tiny");
    let args = ["merge", "--model", text(&base), "--adapter", text(&run)];
    let ran = bone(args.iter().chain(&["--out", text(&out)]));
    refused(&ran, "answers differently");
    let left = std::fs::read_dir(out.parent().unwrap()).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    let merged = |name: &&std::ffi::OsString| name.to_string_lossy().starts_with("merged");
    assert!(!left.iter().any(|name| merged(&name)), "{left:?}");
}

#[test]
fn symlinks_out_of_model_are_not_copied() {
    let place = Place::new();
    let run = place.train("run", &["--rank", "4"]).out;
    let base = copy_fixture("llama-tiny", &place.path("base"));
    std::fs::write(place.path("secret.json"), "{}").unwrap();
    for name in ["generation_config.json", "special_tokens_map.json"] {
        let link = base.join(name);
        let _ = std::fs::remove_file(&link);
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret.json", &link).unwrap();
    }
    let out = place.path("merged");
    let args = ["merge", "--model", text(&base), "--adapter", text(&run)];
    let ran = bone(args.iter().chain(&["--out", text(&out)]));
    refused(&ran, "generation_config.json is a link");
    refused(&ran, "special_tokens_map.json is a link");
    assert!(!out.exists());
}

#[test]
fn inspect_reports_kind_of_path() {
    let place = Place::new();
    let gone = place.path("gone");
    refused(&bone(["inspect", text(&gone)]), "not found");
    let run = place.train("run", &["--rank", "4"]).out;
    let file = run.join("adapter/adapter_model.safetensors");
    refused(&bone(["inspect", text(&file)]), "adapter_config.json");
    let said = bone(["inspect", text(&fixture("llama-tiny"))])
        .succeeded()
        .stdout;
    assert!(said.starts_with("model: LLaMA2 with "), "{said}");
}
