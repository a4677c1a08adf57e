//! A run that was killed, and gone on with.

use crate::command::{bone, fixture, text};
use crate::runs::{Place, Run};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Steps of a run, and how many of them before it is saved, before it is killed.
const STEPS: usize = 40;
const SAVED: usize = 13;
const KILLED: usize = 20;

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

/// Kills a run after the 20th of 40 steps, goes on from the 13th, and holds everything against a run that
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

    // One call before the first step, and one after each.
    let killed = format!("step={}*off->return", KILLED);
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
        "checkpoints/step-26/training.safetensors",
    ] {
        assert!(
            bytes(out.join(file)) == bytes(whole.out.join(file)),
            "{file}: what trains, and its moments"
        );
    }
    assert_eq!(state(&out, 39), state(&whole.out, 39));
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
