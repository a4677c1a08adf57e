//! Files that a run must not change if it cannot start or meets trouble.

use crate::command::{copy_fixture, fixture, text};
use crate::failures::everything;
use crate::runs::{Place, Run, SAVES, adapter, resume, rewind, steps};

#[test]
fn run_never_overwrites_its_inputs() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("model"));
    let out = place.train_on(&model, &place.rows, "out", &SAVES).out;
    let tokenizer = out.join("checkpoints/tokenizer.json");
    std::fs::copy(model.join("tokenizer.json"), &tokenizer).unwrap();
    let before = everything(&out);
    for (key, path) in [
        ("--adapter", out.clone()),
        ("--adapter", out.join("adapter")),
        ("--adapter", out.join("checkpoints/step-8/adapter")),
        ("--tokenizer", tokenizer),
    ] {
        let args = [key, text(&path), "--overwrite"];
        let ran = place.try_on(&model, &place.rows, "out", &args);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("would overwrite"), "{}", ran.stderr);
        assert!(everything(&out) == before);
    }
}

#[test]
fn older_run_survives_until_first_evaluation() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    let before = everything(&out);
    let args = [&SAVES[..], &["--overwrite"]].concat();
    let model = fixture("llama-tiny");
    let environment = [("FAILPOINTS", "evaluate=panic")];
    let ran = place.try_with(&environment, &model, &place.rows, "out", &args);
    assert!(!matches!(ran.code, Some(0)), "{}", ran.stderr);
    assert!(everything(&out) == before);
}

#[test]
fn failed_start_changes_no_files() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    // A file blocks the folder of the log.
    let logs = out.join("logs");
    std::fs::remove_dir_all(&logs).unwrap();
    std::fs::write(&logs, "a file").unwrap();
    rewind(&out, 8);
    let before = everything(&out);
    let ran = resume(&out, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(everything(&out) == before);
    let model = fixture("llama-tiny");
    let args = [&SAVES[..], &["--overwrite"]].concat();
    let ran = place.try_on(&model, &place.rows, "out", &args);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains(text(&logs)), "{}", ran.stderr);
    assert!(everything(&out) == before);
}

#[test]
fn non_finite_steps_keep_last_good_checkpoint() {
    let place = Place::new();
    let args = "--method miss --rank 4 --save-every 1";
    let args: Vec<_> = args.split(' ').collect();
    let model = fixture("llama-tiny");
    let whole = place.train("whole", &args);
    let environment = [("FAILPOINTS", "not_finite=6*off->3*return->off")];
    let ran = place.try_with(&environment, &model, &place.rows, "out", &args);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let out = place.path("out");
    let ran = resume(&out, &[]).succeeded();
    assert!(ran.stderr.contains("at step 6 of 12"), "{}", ran.stderr);
    assert_eq!(Run::read(out).numbers(), whole.numbers());
    // The delayed checkpoint is written later.
    let environment = [("FAILPOINTS", "not_finite=3*off->1*return->off")];
    let args = [&SAVES[..], &["--max-steps", "6"]].concat();
    let ran = place.try_with(&environment, &model, &place.rows, "later", &args);
    let saved = ran.succeeded().stderr;
    assert!(
        saved.contains("later/checkpoints/step-5") && !saved.contains("step-4"),
        "{saved}"
    );
}

#[cfg(unix)]
#[test]
fn unwritten_metrics_are_stored_in_checkpoint() {
    let place = Place::new();
    let (model, out) = (fixture("llama-tiny"), place.path("out"));
    let args = "--template plain --validation 0 --device cpu --method miss --rank 1 --targets q_proj \
                --layers 0 --max-steps 80 --save-every 10 --learning-rate 0.01";
    let mut all = vec!["train", "--model", text(&model), "--data"];
    all.extend([text(&place.rows), "--out", text(&out)]);
    all.extend(args.split_whitespace());
    let ran = crate::failures::with_small_files(12, &all);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let wanted = "once there is space";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    let ran = resume(&out, &[]).succeeded();
    assert!(ran.stderr.contains("at step 80 of 80"), "{}", ran.stderr);
    assert_eq!(steps(&out), (1..=80).collect::<Vec<_>>());
    // Lines that the user removed are reported.
    std::fs::remove_file(out.join("metrics.jsonl")).unwrap();
    std::fs::remove_file(out.join("finished.json")).unwrap();
    let ran = resume(&out, &[]).succeeded();
    assert!(
        ran.stderr.contains("metrics.jsonl: lines missing"),
        "{}",
        ran.stderr
    );
}

#[test]
fn resume_accepts_renamed_model_and_restores_result() {
    let place = Place::new();
    let model = crate::rwkv6::named(&place, "rwkv6-tiny-pth");
    let out = place.train_on(&model, &place.rows, "out", &SAVES).out;
    let before = adapter(&out);
    std::fs::remove_dir_all(out.join("adapter")).unwrap();
    resume(&out, &[]).succeeded();
    assert!(adapter(&out) == before);
    let renamed = model.with_file_name("RWKV-x.pth");
    std::fs::rename(&model, &renamed).unwrap();
    let new = place.path("new");
    let change = ["--model", text(&renamed), "--out", text(&new)];
    resume(&out.join("checkpoints/step-8"), &change).succeeded();
    assert!(adapter(&new) == before);
}
