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
    for name in gpus() {
        let unfused = [
            "devices",
            "--device",
            &name.to_string(),
            "--fusion",
            "false",
        ];
        let told = bone(unfused).succeeded().stdout;
        assert_eq!(told.matches("training step right").count(), 2, "{told}");
    }
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
    for device in gpus() {
        let device = device.to_string();
        for (model, fusion) in [
            ("llama-tiny", "true"),
            ("llama-tiny", "false"),
            ("rwkv6-tiny", "true"),
            ("rwkv6-tiny", "false"),
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
                "4",
                "--batch-size",
                "1",
                "--eval-every",
                "300",
                "--learning-rate",
                "0.001",
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

#[test]
fn what_a_device_cannot_hold_is_refused() {
    if !Kind::NdArray.built_in() {
        println!("skipped: this build has no device that holds f32 alone");
        return;
    }
    let place = Place::new();
    for dtype in ["bf16", "f16"] {
        let out = place.path(dtype);
        let model = fixture("llama-tiny");
        let args = [
            "train",
            "--model",
            text(&model),
            "--data",
            text(&place.rows),
            "--template",
            "plain",
            "--out",
            text(&out),
            "--device",
            "ndarray",
            "--dtype",
            dtype,
        ];
        let ran = bone(args);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        for word in ["ndarray", dtype, "f32"] {
            assert!(ran.stderr.contains(word), "{}", ran.stderr);
        }
        assert_eq!(ran.stderr.matches("error:").count(), 1, "{}", ran.stderr);
        assert!(!out.exists(), "something was left behind");
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
