//! A new run that starts from a checkpoint of another run.

use crate::command::{Ran, bone, bone_with, copy_fixture, fixture, text};
use crate::failures::everything;
use crate::runs::{Place, Run, SAVES, adapter, checkpoints, number, resume, steps};
use std::path::Path;

/// Checks an error: nothing in `out` may change.
#[track_caller]
fn refused(ran: &Ran, code: i32, wanted: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}", ran.stderr);
    for wanted in wanted {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
}

fn checkpoint(out: &Path, step: usize) -> std::path::PathBuf {
    out.join(format!("checkpoints/step-{step}"))
}

/// Returns `--out` and the arguments `more`.
fn forked<'a>(out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["--out", text(out)], more].concat()
}

#[test]
fn fork_without_changes_repeats_the_run() {
    let place = Place::new();
    let run = place.train("old", &SAVES);
    let before = everything(&run.out);
    let new = place.path("new");
    resume(&checkpoint(&run.out, 8), &forked(&new, &[])).succeeded();
    assert!(everything(&run.out) == before);
    assert_eq!(steps(&new), [9, 10, 11, 12]);
    assert!(adapter(&new) == adapter(&run.out));
    let tensors = |out: &Path| std::fs::read(checkpoint(out, 12).join("training.safetensors"));
    assert!(tensors(&new).unwrap() == tensors(&run.out).unwrap());
    let loss = |run: &Run, at: usize| number(&run.steps[at], "loss");
    let again = Run::read(new.clone());
    assert!((0..4).all(|step| loss(&again, step) == loss(&run, step + 8)));
    // It evaluates before its first step, at step 8 of the old run.
    assert_eq!(number(&again.evaluations[0], "step"), 8.0);
    // A fork is an ordinary run: it can be forked from its newest checkpoint.
    let longer = place.path("longer");
    resume(&new, &forked(&longer, &["--max-steps", "14"])).succeeded();
    assert_eq!(steps(&longer), [13, 14]);
}

#[test]
fn fork_with_new_settings_keeps_source_run() {
    let place = Place::new();
    let old = place.train("old", &SAVES).out;
    let before = everything(&old);
    let change = ["--learning-rate", "0.02", "--max-steps", "14"];
    let four = checkpoint(&old, 4);
    let whole = place.path("whole");
    resume(&four, &forked(&whole, &change)).succeeded();
    // If killed before its first checkpoint, it is started again; after that, it is resumed.
    let new = place.path("new");
    let args = [
        &["train", "--resume", text(&four)],
        &forked(&new, &change)[..],
    ]
    .concat();
    let ran = bone_with(&args, &[("FAILPOINTS", "micro=3*off->return")]);
    assert_eq!(ran.code, None, "{}", ran.stderr);
    let args = [&args[..], &["--overwrite"]].concat();
    let ran = bone_with(
        &args,
        &[("FAILPOINTS", "micro=6*off->1*sleep(2000)->return")],
    );
    assert_eq!(ran.code, None, "{}", ran.stderr);
    assert_eq!(checkpoints(&new), [4, 8]);
    resume(&new, &[]).succeeded();
    assert_eq!(steps(&new), (5..=14).collect::<Vec<_>>());
    assert!(adapter(&new) == adapter(&whole));
    assert_eq!(Run::read(new.clone()).numbers(), Run::read(whole).numbers());
    let config = std::fs::read_to_string(new.join("config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    assert_eq!(config["learning_rate"].as_float(), Some(0.02));
    assert_eq!(config["max_steps"].as_integer(), Some(14));
    assert!(everything(&old) == before);
}

#[test]
fn forked_longer_run_equals_a_longer_run() {
    let place = Place::new();
    let args = [&SAVES[..], &["--schedule", "constant"]].concat();
    let longer = place.train("longer", &[&args[..], &["--max-steps", "16"]].concat());
    let old = place.train("old", &args).out;
    let new = place.path("new");
    resume(&old, &forked(&new, &["--max-steps", "16"])).succeeded();
    assert!(adapter(&new) == adapter(&longer.out));
    // If `max_steps` is below the steps already done, nothing is left to train.
    let none = place.path("none");
    let ran = resume(&old, &forked(&none, &["--max-steps", "8"]));
    refused(&ran, 2, &["12 steps", "--max-steps"]);
    assert!(!none.exists());
}

#[test]
fn fork_with_new_rows_starts_at_first_row() {
    let place = Place::new();
    let old = place.train("old", &SAVES).out;
    let rows = std::fs::read_to_string(&place.rows).unwrap();
    let other = place.path("other.jsonl");
    std::fs::write(&other, rows.replace("say ab", "say cd")).unwrap();
    let new = place.path("new");
    let change = ["--data", text(&other), "--epochs", "1"];
    resume(&checkpoint(&old, 8), &forked(&new, &change)).succeeded();
    // 32 rows in batches of four, after the eight steps on the other rows.
    assert_eq!(steps(&new), (9..=16).collect::<Vec<_>>());
    let run = Run::read(new);
    assert_eq!(number(&run.steps[7], "epoch"), 1.0);
}

#[test]
fn fork_accepts_moved_files_and_new_batch_size() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("model"));
    let run = place.train_on(&model, &place.rows, "before", &SAVES);
    let old = place.path("after");
    for (from, to) in [
        (&run.out, &old),
        (&model, &place.path("elsewhere")),
        (&place.rows, &place.path("moved.jsonl")),
    ] {
        std::fs::rename(from, to).unwrap();
    }
    let notes = place.path("elsewhere/NOTES.md");
    std::fs::write(notes, "not a part of the model").unwrap();
    let (model, rows) = (place.path("elsewhere"), place.path("moved.jsonl"));
    let files = ["--model", text(&model), "--data", text(&rows)];
    let (new, eight) = (place.path("new"), checkpoint(&old, 8));
    resume(&eight, &forked(&new, &files)).succeeded();
    assert!(adapter(&new) == adapter(&old));
    // Batches of half the size continue at the same fraction of the epoch.
    let half = place.path("half");
    let files = [&files[..], &["--batch-size", "2"]].concat();
    resume(&eight, &forked(&half, &files)).succeeded();
    let epoch = |step: &serde_json::Value| number(step, "epoch");
    let difference = epoch(&run.steps[8]) - epoch(&Run::read(half).steps[0]);
    assert!((0.0..0.1).contains(&difference), "{difference}");
}

#[test]
fn fork_counts_epochs_in_new_batch_size() {
    let place = Place::new();
    let (model, out) = (fixture("llama-tiny"), place.path("out"));
    // 32 rows: 8 steps per epoch.
    let args = "--template plain --validation 8 --device cpu --learning-rate 0.01 --epochs 3 --batch-size 4";
    let mut all = vec!["train", "--model", text(&model), "--data"];
    all.extend([text(&place.rows), "--out", text(&out)]);
    bone(all.into_iter().chain(args.split(' ')).chain(SAVES)).succeeded();
    // Half of the epochs remain, with 16 steps each.
    let half = place.path("half");
    let change = ["--batch-size", "2"];
    resume(&checkpoint(&out, 12), &forked(&half, &change)).succeeded();
    assert_eq!(steps(&half), (13..=36).collect::<Vec<_>>());
    let last = number(Run::read(half).steps.last().unwrap(), "epoch");
    assert!((last - 3.0).abs() < 1e-9, "{last}");
}

#[test]
fn given_setting_replaces_excluded_setting() {
    let place = Place::new();
    let args = ["--warmup-steps", "2", "--eval-every", "4"];
    let old = place.train("old", &[&SAVES[..], &args].concat()).out;
    let new = place.path("new");
    let change = "--warmup-ratio 0.1 --validation 0 --epochs 2";
    let change: Vec<_> = change.split(' ').collect();
    resume(&checkpoint(&old, 8), &forked(&new, &change)).succeeded();
    let config = std::fs::read_to_string(new.join("config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    for gone in ["warmup_steps", "eval_every", "max_steps"] {
        assert!(!config.contains_key(gone), "{gone}");
    }
    assert_eq!(config["epochs"].as_float(), Some(2.0));
}

#[test]
fn fork_rejects_changed_adapter_or_base() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("model"));
    let old = place.train_on(&model, &place.rows, "old", &SAVES).out;
    let before = everything(&old);
    let new = place.path("new");
    let ran = resume(&old, &forked(&new, &["--rank", "8", "--max-steps", "14"]));
    refused(&ran, 2, &["trained parameters differ"]);
    let weights = model.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let ran = resume(&old, &forked(&new, &["--max-steps", "14"]));
    refused(&ran, 2, &["changed model.safetensors"]);
    assert!(everything(&old) == before);
    assert!(!new.join("config.toml").exists());
}

#[test]
fn fork_never_overwrites_a_run() {
    let place = Place::new();
    let old = place.train("old", &SAVES).out;
    let other = place.train("other", &[&SAVES[..], &["--seed", "7"]].concat());
    let before = [everything(&old), everything(&other.out)];
    let eight = checkpoint(&old, 8);
    let ran = resume(&eight, &forked(&other.out, &[]));
    refused(&ran, 1, &["exists and is not empty"]);
    for more in [&[][..], &["--overwrite"]] {
        let ran = resume(&eight, &forked(&old, more));
        refused(&ran, 1, &[text(&old)]);
    }
    // Without `--out` the run keeps its own settings, and only its newest checkpoint can be resumed.
    for given in [
        &["--overwrite"][..],
        &["--learning-rate", "0.02", "--set", "batch_size=2"],
        &[text(&old.join("config.toml"))],
    ] {
        let ran = resume(&old, given);
        refused(&ran, 2, &["--out NEW"]);
    }
    let ran = resume(&eight, &[]);
    refused(&ran, 1, &["step-12", "--out NEW"]);
    assert!([everything(&old), everything(&other.out)] == before);
}
