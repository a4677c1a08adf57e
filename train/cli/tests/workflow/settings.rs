//! The origin of settings, and the effect of intervals.

use crate::command::{bone, fixture, text};
use crate::runs::{Place, Run, generate, merge, number};

const ADAPTER: [&str; 4] = ["--method", "bone", "--rank", "4"];

#[test]
fn flag_overrides_set_and_set_overrides_file() {
    let place = Place::new();
    let file = place.path("run.toml");
    let paths = format!(
        "model = {:?}\ndata = {:?}\n",
        fixture("llama-tiny"),
        place.rows
    );
    let rest = "rank = 4\nmax_steps = 5\nbatch_size = 2\nvalidation = 0\nlearning_rate = 1e-3\n";
    std::fs::write(&file, paths + rest).unwrap();
    let out = place.path("out");
    let set = ["--set", "max_steps=4", "--set", "batch_size=3"];
    let args = [
        "train",
        text(&file),
        "--out",
        text(&out),
        "--max-steps",
        "3",
    ];
    bone(args.iter().chain(&set)).succeeded();
    let run = Run::read(out);
    assert_eq!(run.steps.len(), 3);
    assert!(run.evaluations.is_empty());
    let written = std::fs::read_to_string(run.out.join("config.toml")).unwrap();
    for line in [
        "max_steps = 3",
        "batch_size = 3",
        "learning_rate = 0.001",
        "template = \"alpaca\"",
    ] {
        assert!(
            written.lines().any(|written| written == line),
            "{line} in\n{written}"
        );
    }
}

#[test]
fn saves_and_evaluations_come_at_their_intervals() {
    let place = Place::new();
    let intervals = ["--save-every", "5", "--eval-every", "4"];
    let run = place.train("out", &[&ADAPTER[..], &intervals].concat());
    let steps: Vec<_> = run
        .evaluations
        .iter()
        .map(|line| number(line, "step"))
        .collect();
    assert_eq!(steps, [0.0, 4.0, 8.0, 12.0]);
    let checkpoints = run.out.join("checkpoints");
    let mut names: Vec<_> = std::fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // The two newest: the last step is saved too.
    assert_eq!(names, ["step-10", "step-12"]);

    // A checkpoint equals the result of a shorter run at the same learning rates.
    let constant = ["--schedule", "constant", "--save-every", "5"];
    let kept = ["--keep-last", "3"];
    let long = place.train("long", &[&ADAPTER[..], &constant, &kept].concat());
    let short = ["--schedule", "constant", "--max-steps", "5"];
    let short = place.train("short", &[&ADAPTER[..], &short].concat());
    let file = "adapter/adapter_model.safetensors";
    let step = long.out.join("checkpoints/step-5");
    let bytes = std::fs::read(step.join(file)).unwrap();
    assert!(bytes == std::fs::read(short.out.join(file)).unwrap());
    assert!(bytes != std::fs::read(long.out.join(file)).unwrap());
    let base = fixture("llama-tiny");
    let adapted = generate(&base, &["--prompt", "say", "--adapter", text(&step)]);
    let merged = merge(&base, &step, place.path("merged"));
    assert_eq!(adapted, generate(&merged, &["--prompt", "say"]));
}

#[test]
fn a_run_replaces_another_only_with_overwrite() {
    let place = Place::new();
    let saves = ["--save-every", "5"];
    let first = place.train("out", &[&ADAPTER[..], &saves].concat());
    let second = place.train(
        "out",
        &["--method", "full", "--overwrite", "--max-steps", "2"],
    );
    assert_eq!(first.out, second.out);
    assert_eq!(second.steps.len(), 2);
    assert!(second.out.join("model").is_dir());
    // Files of the older run could be mistaken for results of this one.
    for old in ["adapter", "checkpoints/step-5", "checkpoints/step-10"] {
        assert!(
            !second.out.join(old).exists(),
            "{old} of the older run is still there"
        );
    }
    let third = place.train(
        "out",
        &["--method", "full", "--overwrite", "--max-steps", "3"],
    );
    assert_eq!(third.steps.len(), 3);
}

#[test]
fn merge_accepts_out_with_trailing_slash() {
    let place = Place::new();
    let run = place.train("out", &[&ADAPTER[..], &["--max-steps", "1"]].concat());
    let base = fixture("llama-tiny");
    let merged = merge(&base, &run.out, place.path("merged/"));
    assert!(merged.join("model.safetensors").is_file());
    assert!(!place.path("merged/.partial").exists());
}

#[test]
fn help_lists_commands_and_devices() {
    let help = bone(["--help"]).succeeded().stdout;
    for command in ["demo", "train", "merge", "generate", "devices"] {
        assert!(help.contains(command), "{help}");
        let help = bone([command, "--help"]).succeeded().stdout;
        assert!(help.contains("Usage: bone"), "{help}");
    }
    let devices = bone(["devices"]).succeeded().stdout;
    for kind in ["cpu", "cuda", "vulkan"] {
        assert!(devices.contains(kind), "{devices}");
    }
}
