//! Resuming a killed run.

use crate::command::{bone, fixture, text};
use crate::runs::{Place, Run};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Steps of a run, and steps before it is saved.
const STEPS: usize = 40;
const SAVED: usize = 13;
/// Micro-batches before it is killed: between the two of a step. Packed rows form one micro-batch.
const KILLED: usize = 41;
const PACKED_AND_KILLED: usize = 30;

/// All settings that make resuming difficult, together.
const DIFFICULT: &str = "--max-steps 40 --save-every 13 --eval-every 8 --batch-size 2 \
                         --gradient-accumulation 2";

fn state(out: &Path, step: usize) -> Value {
    let path = out.join(format!("checkpoints/step-{step}/state.json"));
    let mut state: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    // Time and folder may differ.
    for key in ["seconds", "config"] {
        state.as_object_mut().unwrap().remove(key);
    }
    state
}

fn bytes(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Kills a run inside a step after the 13th of 40 and resumes it at the 13th. Compares everything with an
/// undisturbed run.
#[track_caller]
fn resumes_exactly(model: &str, args: &str) {
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
fn bone_run_resumes_with_equal_results() {
    for model in BOTH {
        resumes_exactly(model, "--method bone --rank 4 --packing");
    }
}

#[test]
fn miss_run_resumes_with_equal_results() {
    for model in BOTH {
        resumes_exactly(model, "--method miss --rank 4 --dropout 0.1 --packing");
        resumes_exactly(
            model,
            "--method miss-mini --mini-width 4 --rank 4 --dropout 0.1 --packing",
        );
    }
}

#[test]
fn lora_run_resumes_with_equal_results() {
    for model in BOTH {
        for method in ["lora --lora-plus-ratio 4", "pissa", "olora"] {
            let args = format!("--method {method} --rank 4 --dropout 0.1 --packing");
            resumes_exactly(model, &args);
        }
    }
}

#[test]
fn full_run_resumes_with_equal_results() {
    for model in BOTH {
        resumes_exactly(model, "--method full --packing");
    }
}

#[test]
fn parts_and_state_runs_resume_with_equal_results() {
    resumes_exactly(
        "rwkv6-tiny",
        "--method miss --rank 4 --train-parts time,ln,emb,head",
    );
    resumes_exactly("rwkv6-tiny", "--method state");
    // Pieces of a sequence, and the other axis.
    resumes_exactly(
        "rwkv6-tiny",
        "--method bone --block-axis output --rank 4 --chunk-ctx 8 --recompute false",
    );
}
