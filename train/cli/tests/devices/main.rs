//! Tests of the devices of this build with the binary. `.ci/run` runs them again with GPU features, on an
//! emulated GPU.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![allow(dead_code, reason = "shared with other tests, which use all of it")]

#[cfg(unix)]
#[path = "../workflow/background.rs"]
mod background;
#[path = "../command/mod.rs"]
mod command;
#[path = "../workflow/runs.rs"]
mod runs;
#[cfg(unix)]
mod stopped;

use bone_train::device::{Capabilities, DeviceName, Kind, all_devices, devices};
use burn::tensor::DType;
use command::{bone, fixture, text};
use runs::{Place, number};

fn gpus() -> Vec<DeviceName> {
    let names = all_devices().into_iter().map(|device| device.name);
    names.filter(|name| !name.kind.on_processor()).collect()
}

#[test]
fn every_device_is_listed_and_passes() {
    let cache = tempfile::tempdir().unwrap();
    let bone = |args: &[&str]| command::bone_with(args, &[("XDG_CACHE_HOME", text(cache.path()))]);
    let told = bone(&["devices"]).succeeded().stdout;
    let devices = all_devices();
    assert!(!devices.is_empty());
    let mut steps = 0;
    for device in &devices {
        assert!(told.contains(&device.title), "{told}");
        let computed = Capabilities::of(device.name).unwrap().computed;
        let halves = [DType::F16, DType::BF16]
            .iter()
            .filter(|half| computed.contains(half));
        steps += match device.name.kind.on_processor() {
            true => 2,
            false => 2 + 2 * halves.count(),
        };
    }
    assert_eq!(told.matches("training step right").count(), steps, "{told}");
    assert!(told.contains("--device auto "), "{told}");
    // Later runs reuse the tuning results from there.
    if cfg!(target_os = "linux") && !gpus().is_empty() {
        let tuned = std::fs::read_dir(cache.path().join("bone/autotune"));
        assert!(tuned.is_ok_and(|versions| versions.count() > 0), "{told}");
    }
}

#[test]
fn demo_runs_on_all_devices() {
    let folder = tempfile::tempdir().unwrap();
    for device in all_devices() {
        let name = device.name.to_string();
        let out = folder.path().join(name.replace(':', "-"));
        let args = [
            "demo",
            "--arch",
            "llama2",
            "--steps",
            "2",
            "--questions",
            "2",
            "--device",
            &name,
            "--out",
        ];
        let told = bone([&args[..], &[text(&out)]].concat()).succeeded().stdout;
        assert_eq!(
            told.matches("same answer to 2 of 2 ").count(),
            1,
            "{name}: {told}"
        );
    }
}

/// Training with a half-precision base must match an f32 base on the CPU, if the device multiplies in half
/// precision. Otherwise it must report that. `bone devices` covers RWKV6's step in half precision.
#[test]
fn half_precision_base_trains_like_f32_or_fails() {
    let place = Place::new();
    let train = |device: &str, dtype: &str| {
        let settings = ["--rank", "4", "--max-steps", "10", "--eval-every", "10"];
        let args = [&["--device", device, "--dtype", dtype][..], &settings].concat();
        let out = format!("{}-{dtype}", device.replace(':', "-"));
        let ran = place.try_on(&fixture("llama-tiny"), &place.rows, &out, &args);
        (ran, place.path(&out))
    };
    let single = train("cpu", "f32");
    single.0.succeeded();
    let single = runs::Run::read(single.1);
    for device in gpus() {
        let stored = Capabilities::of(device).unwrap().stored;
        for dtype in [DType::F16, DType::BF16] {
            let name = Capabilities::names(&[dtype]);
            let (ran, out) = train(&device.to_string(), &name);
            if !stored.contains(&dtype) {
                assert_eq!(ran.code, Some(2), "{}", ran.stderr);
                let said = ran.stderr.trim();
                assert!(said.contains(&name) && said.contains("f32"), "{said}");
                println!("{device} has no {name}: {said}");
                continue;
            }
            let told = ran.succeeded().stderr;
            let half = runs::Run::read(out);
            assert_trains_like(&single, &half, &told, &format!("{name} on {device}"));
        }
    }
}

/// A step with overflowing gradients is skipped, so the later steps differ.
fn assert_trains_like(single: &runs::Run, half: &runs::Run, told: &str, what: &str) {
    let skipped = told.matches(" skipped: its ").count();
    assert_eq!(half.skipped.len(), skipped, "{what}");
    assert_eq!(half.steps.len() + skipped, single.steps.len(), "{what}");
    let first = |run: &runs::Run| (number(&run.steps[0], "step"), number(&run.steps[0], "loss"));
    let (single_before, single_after) = single.first_and_last_validation();
    let (before, after) = half.first_and_last_validation();
    println!(
        "{what}: f32 {single_before:.4} → {single_after:.4}, half {before:.4} → {after:.4}, \
         {skipped} steps skipped"
    );
    let bound = if what.contains("bf16") { 1e-2 } else { 1e-3 };
    let ((single_step, single_first), (half_step, half_first)) = (first(single), first(half));
    // If the very first step is skipped, the next one has other rows than f32's first step.
    let same_rows = half_step == single_step;
    assert!(
        !same_rows || (single_first - half_first).abs() < bound * single_first,
        "{what}"
    );
    assert!((single_before - before).abs() < bound * before, "{what}");
    let learnt = single_before - single_after;
    assert!(skipped < 3 && before - after > 0.7 * learnt, "{what}");
}

/// A tensor beyond the largest buffer of an emulated device. The error names what does not fit and the
/// setting that reduces it.
#[test]
fn out_of_device_memory_error_suggests_setting() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (folder.path().join("model"), folder.path().join("out"));
    std::fs::create_dir(&model).unwrap();
    let config = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 64,
        "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 560000,
        "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "tie_word_embeddings": true}"#;
    std::fs::write(model.join("config.json"), config).unwrap();
    let rows = command::write_rows(folder.path());
    for device in all_devices() {
        if device.name.kind.on_processor() || !device.software {
            continue;
        }
        let name = device.name.to_string();
        let args = [
            "train",
            "--model",
            text(&model),
            "--init",
            "random",
            "--tokenizer",
            "bytes",
            "--template",
            "plain",
            "--data",
            text(&rows),
            "--validation",
            "0",
            "--rank",
            "4",
            "--max-steps",
            "1",
            "--max-seq-len",
            "32",
            "--head-chunk",
            "16",
            "--dtype",
            "f32",
            "--device",
            &name,
            "--out",
            text(&out),
        ];
        let ran = bone(args);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let error = ran.stderr.lines().last().unwrap_or_default();
        for word in [
            &format!("error: {name} is out of memory"),
            "base weights",
            // A precision that this device supports.
            "set dtype f16",
        ] {
            assert!(error.contains(word), "no '{word}' in {error}");
        }
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert!(!out.join("adapter").exists(), "half an adapter was left");
    }
}

/// A GPU without a driver, in a build with its backend.
#[test]
fn a_driver_that_is_absent_is_named() {
    for kind in Kind::of_this_build() {
        let Err(reason) = devices(kind) else { continue };
        println!("{}: {reason}", kind.name());
        for command in [&["devices"][..], &["demo", "--out", "nowhere"]] {
            let ran = bone([command, &["--device", kind.name()]].concat());
            assert_eq!(ran.code, Some(1), "{}", ran.stderr);
            assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
            for word in [kind.name(), &reason, "this build can use"] {
                assert!(ran.stderr.contains(word), "no '{word}' in {}", ran.stderr);
            }
        }
    }
}

#[test]
fn unsupported_device_dtype_is_rejected() {
    if !Kind::NdArray.built_in() {
        println!("skipped: this build has no device that holds f32 alone");
        return;
    }
    let place = Place::new();
    for dtype in ["bf16", "f16"] {
        let args = ["--device", "ndarray", "--dtype", dtype];
        let ran = place.try_on(&fixture("llama-tiny"), &place.rows, dtype, &args);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        for word in ["ndarray", dtype, "f32"] {
            assert!(ran.stderr.contains(word), "{}", ran.stderr);
        }
        assert_eq!(ran.stderr.matches("error:").count(), 1, "{}", ran.stderr);
        assert!(!place.path(dtype).exists(), "something was left behind");
    }
}

#[test]
fn missing_device_index_error_lists_devices() {
    for device in all_devices() {
        let kind = device.name.kind;
        if kind.on_processor() {
            continue;
        }
        let asked = format!("{}:7", kind.name());
        let ran = bone(["devices", "--device", &asked]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        for word in [&asked, &device.title] {
            assert!(
                ran.stderr.contains(word.as_str()),
                "no '{word}' in {}",
                ran.stderr
            );
        }
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
}
