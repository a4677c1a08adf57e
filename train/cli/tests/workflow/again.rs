//! Going on with a run that something was changed of, and what must not be lost by it.

use crate::command::{Ran, bone, bone_with, copy_fixture, fixture, text};
use crate::runs::{Place, Run, SAVES, adapter, resume};
use crate::trouble::everything;
use std::path::Path;

#[track_caller]
fn refused(ran: &Ran, code: i32, wanted: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}", ran.stderr);
    for wanted in wanted {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
}

#[test]
fn a_run_goes_on_in_its_own_folder_alone() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    let other = place.train("other", &[&SAVES[..], &["--seed", "7"]].concat());
    let before = everything(&other.out);
    let eight = out.join("checkpoints/step-8");
    let ran = resume(&eight, &["--out", text(&other.out)]);
    refused(&ran, 2, &["--out: is ", "--resume goes on in "]);
    assert!(everything(&other.out) == before);
    let ran = resume(&eight, &["--overwrite"]);
    refused(&ran, 2, &["--overwrite: begins anew, and --resume goes on"]);
    // The settings that it wrote itself are its own, by another name of its folder too.
    let adapter_before = adapter(&out);
    let settings = out.join("config.toml");
    let named = out.join("../out");
    let args = [text(&settings), "--out", text(&named)];
    resume(&eight, &args).succeeded();
    assert!(adapter(&out) == adapter_before);
}

#[test]
fn what_was_changed_outlives_a_kill() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    let whole = place.train("whole", &SAVES).out;
    let change = ["--learning-rate", "0.02", "--max-steps", "14"];
    let change = [&change[..], &["--allow-change", "learning_rate,max_steps"]].concat();
    let eight = |out: &Path| out.join("checkpoints/step-8");
    resume(&eight(&whole), &change).succeeded();
    let out_eight = eight(&out);
    // Before the step, and before the next checkpoint.
    let args = [&["train", "--resume", text(&out_eight)], &change[..]].concat();
    for points in ["step=return", "micro=3*off->return"] {
        let ran = bone_with(&args, &[("FAILPOINTS", points)]);
        assert_eq!(ran.code, None, "{}", ran.stderr);
        assert!(!out.join("finished.json").exists());
        let ran = bone_with(["train", "--resume", text(&out)], &[("FAILPOINTS", points)]);
        assert_eq!(ran.code, None, "{}", ran.stderr);
        let wanted = "gone on with after step 8 of 14";
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    }
    resume(&out, &[]).succeeded();
    assert_eq!(
        Run::read(out.clone()).numbers(),
        Run::read(whole.clone()).numbers()
    );
    assert!(adapter(&out) == adapter(&whole));
    // Who names the checkpoint has the run as it was.
    let ran = resume(&out_eight, &[]).succeeded();
    for wanted in ["after step 8 of 12", "named itself"] {
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    }
}

#[test]
fn what_ends_with_its_epochs_is_measured_anew_in_steps() {
    let place = Place::new();
    let (model, out) = (fixture("llama-tiny"), place.path("out"));
    // 32 rows: 8 steps an epoch.
    let args = "--template plain --validation 8 --device cpu --learning-rate 0.01 --epochs 3 --batch-size 4";
    let mut all = vec!["train", "--model", text(&model), "--data"];
    all.extend([text(&place.rows), "--out", text(&out)]);
    bone(all.into_iter().chain(args.split(' ')).chain(SAVES)).succeeded();
    let twelve = out.join("checkpoints/step-12");
    let half = ["--batch-size", "2", "--allow-change"];
    let ran = resume(&twelve, &[&half[..], &["batch_size"]].concat());
    // Half of the epochs are ahead, of 16 steps each.
    refused(
        &ran,
        2,
        &["was 8 steps and is 16 now", "36 end where 3 epochs"],
    );
    let steps = ["batch_size,max_steps", "--max-steps", "36"];
    resume(&twelve, &[&half[..], &steps].concat()).succeeded();
    let run = Run::read(out);
    assert_eq!(run.steps.len(), 36);
    let epoch = run.steps[35]["epoch"].as_f64().unwrap();
    assert!((epoch - 3.0).abs() < 1e-9, "{epoch}");
    // 7 of 10 steps of 8 rows are 14 of 20 of 4, exactly.
    let out = place.path("five");
    let args = "--template plain --validation 0 --device cpu --epochs 2 --batch-size 8 --method miss --rank 4";
    let mut all = vec!["train", "--model", text(&model), "--data"];
    all.extend([text(&place.rows), "--out", text(&out), "--save-every", "1"]);
    let keeps = ["--keep-last", "9"];
    bone(all.into_iter().chain(args.split(' ')).chain(keeps)).succeeded();
    let seven = out.join("checkpoints/step-7");
    let ran = resume(
        &seven,
        &["--batch-size", "4", "--allow-change", "batch_size"],
    );
    refused(&ran, 2, &["13 end where 2 epochs"]);
}

#[test]
fn what_a_change_supersedes_is_no_other_change() {
    let place = Place::new();
    let args = ["--warmup-steps", "2", "--eval-every", "4"];
    let out = place.train("out", &[&SAVES[..], &args].concat()).out;
    let eight = out.join("checkpoints/step-8");
    let args = [
        "--warmup-ratio",
        "0.1",
        "--validation",
        "0",
        "--epochs",
        "2",
    ];
    let ran = resume(&eight, &args);
    refused(
        &ran,
        2,
        &["warmup_ratio was", "validation was 8", "epochs was"],
    );
    for wrong in ["warmup_steps was", "eval_every was", "max_steps was"] {
        assert!(!ran.stderr.contains(wrong), "{wrong}: {}", ran.stderr);
    }
    // What says what trains cannot change at all.
    let ran = resume(&eight, &["--rank", "8", "--allow-change", "rank"]);
    refused(
        &ran,
        2,
        &["rank was 4 and is 8", "rank cannot change within"],
    );
    assert!(!ran.stderr.contains("go on all the same"), "{}", ran.stderr);
}

#[test]
fn what_a_run_starts_from_is_not_where_it_writes() {
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
        refused(&ran, 1, &["where the result would replace it"]);
        assert!(everything(&out) == before);
    }
}

#[test]
fn an_older_run_is_there_until_the_first_evaluation_is_done() {
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
fn what_cannot_begin_changes_nothing() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    // Where its log belongs a file lies.
    let logs = out.join("logs");
    std::fs::remove_dir_all(&logs).unwrap();
    std::fs::write(&logs, "a file").unwrap();
    let before = everything(&out);
    let ran = resume(&out.join("checkpoints/step-8"), &[]);
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
fn a_series_without_numbers_costs_no_checkpoint() {
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
    assert!(ran.stderr.contains("after step 6 of 12"), "{}", ran.stderr);
    assert_eq!(Run::read(out).numbers(), whole.numbers());
    // What was put off is made up for.
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
fn lines_without_room_are_in_the_checkpoint() {
    let place = Place::new();
    let (model, out) = (fixture("llama-tiny"), place.path("out"));
    let args = "--template plain --validation 0 --device cpu --method miss --rank 1 --targets q_proj \
                --layers 0 --max-steps 80 --save-every 10 --learning-rate 0.01";
    let mut all = vec!["train", "--model", text(&model), "--data"];
    all.extend([text(&place.rows), "--out", text(&out)]);
    all.extend(args.split_whitespace());
    let ran = crate::trouble::with_small_files(12, &all);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let wanted = "its lines are written when there is room";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    let ran = resume(&out, &[]).succeeded();
    assert!(ran.stderr.contains("after step 80 of 80"), "{}", ran.stderr);
    let steps = |out: &Path| {
        let steps = Run::read(out.to_path_buf()).steps;
        let steps = steps.iter().map(|line| line["step"].as_u64().unwrap());
        steps.collect::<Vec<_>>()
    };
    assert_eq!(steps(&out), (1..=80).collect::<Vec<_>>());
    // Lines that somebody removed are told.
    std::fs::remove_file(out.join("metrics.jsonl")).unwrap();
    std::fs::remove_file(out.join("finished.json")).unwrap();
    let ran = resume(&out, &[]).succeeded();
    assert!(
        ran.stderr.contains("of the run have no line"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_file_of_another_name_is_the_same_and_a_lost_result_is_made_again() {
    let place = Place::new();
    let model = crate::rwkv6::named(&place, "rwkv6-tiny-pth");
    let out = place.train_on(&model, &place.rows, "out", &SAVES).out;
    let before = adapter(&out);
    let renamed = model.with_file_name("RWKV-x.pth");
    std::fs::rename(&model, &renamed).unwrap();
    let eight = out.join("checkpoints/step-8");
    resume(&eight, &["--model", text(&renamed)]).succeeded();
    std::fs::remove_dir_all(out.join("adapter")).unwrap();
    resume(&out, &[]).succeeded();
    assert!(adapter(&out) == before);
}
