//! A run that was killed, and gone on with.

use crate::command::{bone, bone_with, copy_fixture, fixture, text};
use crate::runs::{Place, Run, SAVES, number};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Steps of a run, and how many of them before it is saved.
const STEPS: usize = 40;
const SAVED: usize = 13;
/// Micro batches before it is killed, in the middle of the two of a step; rows that are packed are one.
const KILLED: usize = 41;
const PACKED_AND_KILLED: usize = 30;

/// Everything at once that makes going on difficult.
const DIFFICULT: &str = "--max-steps 40 --save-every 13 --eval-every 8 --batch-size 2 \
                         --gradient-accumulation 2";

fn state(out: &Path, step: usize) -> Value {
    let path = out.join(format!("checkpoints/step-{step}/state.json"));
    let mut state: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    // When, and where, is no part of it.
    for key in ["seconds", "config"] {
        state.as_object_mut().unwrap().remove(key);
    }
    state
}

fn bytes(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Kills a run inside a step after the 13th of 40, goes on from the 13th, and holds everything against a run that
/// nobody killed.
#[track_caller]
fn goes_on(model: &str, args: &str) {
    let place = Place::new();
    let model = match model {
        "rwkv6-tiny" => crate::rwkv6::model(&place, model),
        _ => fixture(model),
    };
    let all: Vec<_> = DIFFICULT
        .split_whitespace()
        .chain(args.split_whitespace())
        .collect();
    let whole = place.train_on(&model, &place.rows, "whole", &all);

    let micro = match args.contains("--packing") {
        true => PACKED_AND_KILLED,
        false => KILLED,
    };
    let killed = format!("micro={micro}*off->return");
    let environment = [("FAILPOINTS", killed.as_str())];
    let ran = place.try_with(&environment, &model, &place.rows, "killed", &all);
    assert_eq!(ran.code, None, "{}", ran.stderr);
    let out = place.path("killed");
    assert!(!out.join("finished.json").exists());
    let before = Run::read(out.clone()).steps.len();
    assert!(before > SAVED && before < STEPS, "{before}");

    bone(["train", "--resume", text(&out)]).succeeded();
    let resumed = Run::read(out.clone());
    assert_eq!(resumed.numbers(), whole.numbers());
    for file in [
        "checkpoints/step-39/training.safetensors",
        "checkpoints/step-40/training.safetensors",
    ] {
        assert!(
            bytes(out.join(file)) == bytes(whole.out.join(file)),
            "{file}: what trains, and its moments"
        );
    }
    for step in [39, 40] {
        assert_eq!(state(&out, step), state(&whole.out, step));
    }
    let result = match args.contains("full") {
        true => "model/model.safetensors",
        false => "adapter/adapter_model.safetensors",
    };
    assert!(bytes(out.join(result)) == bytes(whole.out.join(result)));
}

const BOTH: [&str; 2] = ["llama-tiny", "rwkv6-tiny"];

#[test]
fn bone_on_either_axis() {
    for model in BOTH {
        goes_on(model, "--method bone --rank 4 --packing");
    }
}

#[test]
fn miss_and_miss_mini() {
    for model in BOTH {
        goes_on(model, "--method miss --rank 4 --dropout 0.1 --packing");
        goes_on(
            model,
            "--method miss-mini --mini-width 4 --rank 4 --dropout 0.1 --packing",
        );
    }
}

#[test]
fn lora_and_what_starts_otherwise() {
    for model in BOTH {
        for method in ["lora --lora-plus-ratio 4", "pissa", "olora"] {
            let args = format!("--method {method} --rank 4 --dropout 0.1 --packing");
            goes_on(model, &args);
        }
    }
}

#[test]
fn every_weight() {
    for model in BOTH {
        goes_on(model, "--method full --packing");
    }
}

#[test]
fn parts_beside_an_adapter_and_states() {
    goes_on(
        "rwkv6-tiny",
        "--method miss --rank 4 --train-parts time,ln,emb,head",
    );
    goes_on("rwkv6-tiny", "--method state");
    // Pieces of a sequence, and the other axis.
    goes_on(
        "rwkv6-tiny",
        "--method bone --block-axis output --rank 4 --chunk-ctx 8 --recompute false",
    );
}

/// Steps that are in the record, in their order.
fn recorded(out: &Path) -> Vec<f64> {
    let steps = Run::read(out.to_path_buf()).steps;
    steps.iter().map(|line| number(line, "step")).collect()
}

#[test]
fn who_goes_back_begins_another_run() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    let from = out.join("checkpoints/step-4");
    let args = ["train", "--resume", text(&from), "--learning-rate", "0.02"];
    let args = [&args[..], &["--allow-change", "learning_rate"]].concat();
    // What was saved after step 8 has time to be.
    let points = "step=5*off->1*sleep(2000)->return";
    let ran = bone_with(&args, &[("FAILPOINTS", points)]);
    assert_eq!(ran.code, None, "{}", ran.stderr);
    assert!(ran.stderr.contains("is set aside"), "{}", ran.stderr);
    assert!(out.join("checkpoints/step-12.aside-1/state.json").exists());
    // The newest is of the run that was killed, and the record too.
    let ran = bone(["train", "--resume", text(&out)]).succeeded();
    assert!(ran.stderr.contains("after step 8 of 12"), "{}", ran.stderr);
    let wanted: Vec<_> = (1..=12).map(f64::from).collect();
    assert_eq!(recorded(&out), wanted);
    let config = std::fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(config.contains("learning_rate = 0.02"), "{config}");
}

#[test]
fn a_finished_run_is_made_longer() {
    let place = Place::new();
    let args = [&SAVES[..], &["--schedule", "constant"]].concat();
    let longer = place.train("longer", &[&args[..], &["--max-steps", "16"]].concat());
    let out = place.train("out", &args).out;
    let more = ["train", "--resume", text(&out), "--max-steps", "16"];
    let ran = bone([&more[..], &["--allow-change", "max_steps"]].concat()).succeeded();
    assert!(ran.stderr.contains("after step 12 of 16"), "{}", ran.stderr);
    let adapter = |out: &Path| bytes(out.join("adapter/adapter_model.safetensors"));
    assert!(adapter(&out) == adapter(&longer.out));
    let fewer = ["train", "--resume", text(&out), "--max-steps", "8"];
    let ran = bone([&fewer[..], &["--allow-change", "max_steps"]].concat());
    assert!(
        ran.code == Some(2) && ran.stderr.contains("the run has done 16 steps"),
        "{}",
        ran.stderr
    );
}

#[test]
fn files_may_move_and_batches_change() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("model"));
    let run = place.train_on(&model, &place.rows, "before", &SAVES);
    let out = place.path("after");
    for (from, to) in [
        (&run.out, &out),
        (&model, &place.path("elsewhere")),
        (&place.rows, &place.path("moved.jsonl")),
    ] {
        std::fs::rename(from, to).unwrap();
    }
    let notes = place.path("elsewhere/NOTES.md");
    std::fs::write(notes, "nothing of the model").unwrap();
    let eight = out.join("checkpoints/step-8");
    let (model, rows) = (place.path("elsewhere"), place.path("moved.jsonl"));
    let args = ["train", "--resume", text(&eight), "--model", text(&model)];
    let args = [&args[..], &["--data", text(&rows)]].concat();
    bone(&args).succeeded();
    assert_eq!(Run::read(out.clone()).numbers(), run.numbers());
    // Batches of half the size, from as far in the epoch.
    let half = ["--batch-size", "2", "--allow-change", "batch_size"];
    bone([&args[..], &half].concat()).succeeded();
    let before = &run.steps[8]["epoch"];
    let now = &Run::read(out).steps[8]["epoch"];
    let difference = before.as_f64().unwrap() - now.as_f64().unwrap();
    assert!((0.0..0.1).contains(&difference), "{before} {now}");
}
