//! Signals, in each phase of a run.

#![cfg(unix)]

use crate::background::BackgroundRun;
use crate::command::{bone, text};
use crate::runs::{Place, Run};

const ARGS: &str = "--method miss --rank 4 --max-steps 30 --validation 8 --template plain --device cpu \
                    --learning-rate 0.01";

fn begin(place: &Place, out: &str, slow: &str, more: &[&str]) -> BackgroundRun {
    let args: Vec<_> = ARGS
        .split_whitespace()
        .chain(more.iter().copied())
        .collect();
    BackgroundRun::begin(place, out, slow, &args)
}

/// Returns an undisturbed run.
fn whole(place: &Place) -> Run {
    begin(place, "whole", "", &[]).end();
    Run::read(place.path("whole"))
}

#[track_caller]
fn assert_resumes_like(out: &std::path::Path, whole: &Run) {
    bone(["train", "--resume", text(out)]).succeeded();
    assert_eq!(Run::read(out.to_path_buf()).numbers(), whole.numbers());
    let adapter = |out: &std::path::Path| {
        std::fs::read(out.join("adapter/adapter_model.safetensors")).unwrap()
    };
    assert!(adapter(out) == adapter(&whole.out));
}

/// Returns whether these tests run under `nohup` or similar. The runs inherit that and respect it.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ignored.is_some_and(|bits| bits & 1 != 0)
}

#[test]
fn first_signal_finishes_step_and_saves() {
    let place = Place::new();
    let whole = whole(&place);
    for (signal, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        if signal == "-HUP" && hangups_are_ignored() {
            continue;
        }
        let mut run = begin(&place, signal, "step=sleep(150)", &[]);
        run.until("step 5/30");
        let (out, said) = run.stopped_by(signal, code);
        let line = format!("bone train --resume {}", out.display());
        assert!(
            said.contains(&line) && said.contains("stopped after step"),
            "{said}"
        );
        assert!(!out.join("finished.json").exists());
        assert_resumes_like(&out, &whole);
    }
}

#[test]
fn second_signal_stops_immediately() {
    let place = Place::new();
    let mut run = begin(&place, "out", "step=sleep(3000)", &[]);
    run.until("step 1/30");
    run.send("-TERM");
    std::thread::sleep(std::time::Duration::from_millis(300));
    run.send("-TERM");
    let (exit, said) = run.end();
    assert_eq!(exit, Some(143), "{said}");
    assert!(!said.contains("stopped after"), "{said}");
}

#[test]
fn signal_during_loading_stops_immediately() {
    let place = Place::new();
    let mut run = begin(&place, "out", "load=sleep(20000)", &[]);
    run.until("loading the model");
    run.stopped_by("-INT", 130);
    // Nothing blocks the next attempt.
    let again = begin(&place, "out", "", &[]);
    assert_eq!(again.end().0, Some(0));
}

#[test]
fn interrupted_evaluation_is_repeated_on_resume() {
    let place = Place::new();
    let whole = whole(&place);
    // Two batches per evaluation; the first evaluation comes before the first step.
    let mut run = begin(&place, "out", "evaluate=2*off->sleep(1500)", &[]);
    run.until("step 3/30");
    let (out, said) = run.stopped_by("-TERM", 143);
    let stopped = Run::read(out.clone());
    assert_eq!(stopped.evaluations.len(), 1, "{said}");
    assert_resumes_like(&out, &whole);
}

#[test]
fn interrupted_last_evaluation_is_repeated() {
    let place = Place::new();
    let whole = whole(&place);
    // Two batches before the first step, and two for each of the nine evaluations before the last.
    let mut run = begin(
        &place,
        "out",
        "evaluate=20*off->sleep(1500)",
        &["--eval-every", "3"],
    );
    run.until("step 30/30");
    let (out, said) = run.stopped_by("-TERM", 143);
    assert!(said.contains("stopped after step 30 of 30"), "{said}");
    let (adapter, last) = (out.join("adapter"), "adapter/adapter_model.safetensors");
    assert!(!adapter.exists());
    bone(["train", "--resume", text(&out)]).succeeded();
    let read = |out: &std::path::Path| std::fs::read(out.join(last)).unwrap();
    assert!(read(&out) == read(&whole.out));
    let evaluations = Run::read(out).evaluations;
    let of_last = |run: &[serde_json::Value]| run.last().unwrap()["loss"].clone();
    assert_eq!(evaluations.len(), 11);
    assert_eq!(of_last(&evaluations), of_last(&whole.evaluations));
}

#[test]
fn signal_during_trial_leaves_no_files() {
    let place = Place::new();
    let mut run = begin(&place, "out", "save=sleep(50)", &[]);
    run.until("testing memory and disk space");
    let (out, said) = run.stopped_by("-TERM", 143);
    assert!(said.contains("stopped before the first step"), "{said}");
    assert_eq!(
        std::fs::read_dir(out).unwrap().count(),
        1,
        "the lock's file"
    );
    let again = begin(&place, "out", "", &[]);
    assert_eq!(again.end().0, Some(0));
}

#[test]
fn closed_stderr_does_not_stop_run() {
    let place = Place::new();
    let whole = whole(&place);
    let run = begin(&place, "out", "step=sleep(20)", &[]);
    let (code, out) = run.unheard();
    assert_eq!(code, Some(0));
    assert_eq!(Run::read(out).numbers(), whole.numbers());
}

#[test]
fn signal_during_save_finishes_the_save() {
    let place = Place::new();
    let whole = whole(&place);
    let slow = "save=sleep(30)";
    let mut run = begin(
        &place,
        "out",
        slow,
        &["--save-every", "5", "--shake-down", "false"],
    );
    run.until("step 6/30");
    let (out, said) = run.stopped_by("-TERM", 143);
    assert!(said.contains("stopped after step"), "{said}");
    assert_resumes_like(&out, &whole);
}

#[test]
fn usr1_saves_a_checkpoint_and_continues() {
    let place = Place::new();
    let whole = whole(&place);
    let mut run = begin(&place, "out", "step=sleep(100)", &[]);
    run.until("step 3/30");
    run.send("-USR1");
    run.until("checkpoints/step-");
    let out = run.out.clone();
    let (exit, said) = run.end();
    assert_eq!(exit, Some(0), "{said}");
    // The requested one, and the last.
    let saved = std::fs::read_dir(out.join("checkpoints")).unwrap().count();
    assert_eq!(saved, 2);
    assert_eq!(Run::read(out).numbers(), whole.numbers());
}

#[test]
fn output_folder_rejects_second_run() {
    let place = Place::new();
    let mut run = begin(&place, "out", "step=sleep(300)", &[]);
    run.until("step 1/30");
    let second = begin(&place, "out", "", &["--overwrite"]);
    let (exit, said) = second.end();
    assert_eq!(exit, Some(1), "{said}");
    let owner = format!("process {}", run.child.id());
    assert!(
        said.contains("another run writes to this folder") && said.contains(&owner),
        "{said}"
    );
    let resumed = bone(["train", "--resume", text(&run.out)]);
    assert_ne!(resumed.code, Some(0));
    run.send("-KILL");
    run.end();
    // The lock of a dead run is free.
    let third = begin(&place, "out", "", &["--overwrite"]);
    assert_eq!(third.end().0, Some(0));
}
