//! What a user does with the devices of this build, tried with the binary. `.ci/run` runs it again
//! with the features of GPUs, on one that the processor emulates.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![allow(dead_code, reason = "shared with other tests, which use all of it")]

#[path = "../command/mod.rs"]
mod command;
#[path = "../workflow/runs.rs"]
mod runs;

use bone_train::device::{DeviceName, Kind, all_devices};
use command::{bone, fixture, text};
use runs::{Place, number};

fn gpus() -> Vec<DeviceName> {
    let names = all_devices().into_iter().map(|device| device.name);
    names.filter(|name| !name.kind.on_processor()).collect()
}

#[test]
fn every_device_is_listed_and_passes() {
    let told = bone(["devices"]).succeeded().stdout;
    let devices = all_devices();
    assert!(!devices.is_empty());
    for device in &devices {
        assert!(told.contains(&device.title), "{told}");
    }
    assert_eq!(
        told.matches("training step right").count(),
        2 * devices.len(),
        "{told}"
    );
    assert!(told.contains("--device auto is "), "{told}");
}

#[test]
fn the_demo_tells_its_story_on_every_device() {
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
        let done = "The merged model gives the same answer to 2 of 2 questions.";
        assert_eq!(told.matches(done).count(), 1, "{name}: {told}");
    }
}

/// As long as a run that grows shows it: this burn and wgpu are said to.
#[test]
fn memory_stays_what_it_is() {
    let place = Place::new();
    // WGSL goes through the same driver, and time is short.
    for device in gpus().into_iter().filter(|name| name.kind != Kind::Wgpu) {
        let device = device.to_string();
        // A rank that divides every layer of both.
        for (model, rank, fusion) in [
            ("llama-tiny", "4", "true"),
            ("llama-tiny", "4", "false"),
            ("rwkv6-tiny-head12", "2", "true"),
        ] {
            let out = format!("{model}-{fusion}-{}", device.replace(':', "-"));
            let args = [
                "--device",
                &device,
                "--fusion",
                fusion,
                "--max-steps",
                "300",
                "--rank",
                rank,
                "--batch-size",
                "1",
                "--eval-every",
                "300",
                "--learning-rate",
                "0.001",
                "--dtype",
                "f32",
            ];
            let run = place.train_on(&fixture(model), &place.rows, &out, &args);
            assert_eq!(run.steps.len(), 300);
            let resident: Vec<f64> = run
                .steps
                .iter()
                .map(|step| number(step, "resident_bytes"))
                .collect();
            let most = resident[30..].iter().fold(0f64, |a, &b| a.max(b));
            let seconds: f64 = run.steps.iter().map(|step| number(step, "seconds")).sum();
            println!(
                "{model} on {device}, fusion {fusion}: {:.1} MB after 30 steps, at most {:.1} in \
                 the 270 after; {seconds:.0} s",
                resident[29] / 1e6,
                most / 1e6,
            );
            assert!(
                most < 1.02 * resident[29],
                "{model} on {device}, fusion {fusion}"
            );
        }
    }
}

/// Products in f16, where the device has them: a base in f16 learns what one in f32 learns, and
/// where it has not it says so.
#[test]
fn a_base_in_f16_trains_as_one_in_f32_or_is_refused() {
    let place = Place::new();
    let model = fixture("llama-tiny");
    for device in gpus() {
        let device = device.to_string();
        let args = |dtype| {
            let settings = ["--rank", "4", "--max-steps", "10", "--eval-every", "10"];
            [&["--device", &device, "--dtype", dtype][..], &settings].concat()
        };
        let single = place.train_on(&model, &place.rows, "f32", &args("f32"));
        let ran = place.try_on(&model, &place.rows, "f16", &args("f16"));
        if ran.code == Some(2) {
            assert!(
                ran.stderr.contains("f16") && ran.stderr.contains("f32"),
                "{}",
                ran.stderr
            );
            println!("{device} has no f16: {}", ran.stderr.trim());
            continue;
        }
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        // A step whose gradients overflow is left out, so the later steps are not the same ones.
        let skipped = ran.stderr.matches("is skipped").count();
        let half = runs::Run::read(place.path("f16"));
        assert_eq!(half.steps.len() + skipped, single.steps.len());
        let first = |run: &runs::Run| number(&run.steps[0], "loss");
        let (single_before, single_after) = single.first_and_last_validation();
        let (before, after) = half.first_and_last_validation();
        println!(
            "{device}: f32 {single_before:.4} → {single_after:.4}, f16 {before:.4} → {after:.4}, \
             {skipped} steps skipped"
        );
        assert!((first(&single) - first(&half)).abs() < 1e-3 * first(&single));
        assert!((single_before - before).abs() < 1e-3 * before);
        assert!(skipped < 3 && after < 0.7 * before);
    }
}

#[test]
fn what_a_device_cannot_hold_is_refused() {
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
fn a_card_too_many_is_refused_with_what_is_there() {
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
