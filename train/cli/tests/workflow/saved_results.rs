//! Results that a run keeps in case of trouble.

use crate::background::BackgroundRun;
use crate::command::{Ran, bone, fixture, text};
use crate::failures::everything;
use crate::runs::{Place, Run, SAVES, checkpoints, number, resume, rewind, steps};

/// Returns the command in the last line of a run's output, without `bone`.
fn advice(ran: &Ran) -> Vec<String> {
    let line = ran.stderr.lines().last().unwrap().trim();
    let words = shlex::split(line).unwrap();
    assert_eq!(words[0], "bone", "{}", ran.stderr);
    words[1..].to_vec()
}

/// Returns the word after `name`.
fn value<'a>(words: &'a [String], name: &str) -> &'a str {
    let at = words.iter().position(|word| word == name);
    &words[at.unwrap() + 1]
}

#[test]
fn diverged_run_keeps_good_checkpoints() {
    let place = Place::new();
    let few = "--method miss --rank 4 --save-every 2 --keep-last 1";
    let few: Vec<_> = few.split(' ').collect();
    let ruin = "--max-steps 24 --learning-rate 1e30 --schedule constant --save-every 1";
    let ruin: Vec<_> = ruin.split(' ').collect();
    // The evaluation after the save detects it, or else the next steps.
    for (validation, left) in [("8", vec![12]), ("0", vec![12, 13])] {
        let args = [&few[..], &["--validation", validation]].concat();
        let old = place.train(&format!("old-{validation}"), &args).out;
        let before = everything(&old);
        let out = place.path(&format!("out-{validation}"));
        let ran = resume(&old, &[&ruin[..], &["--out", text(&out)]].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        // The start of the run is saved: a checkpoint is due there.
        assert_eq!(checkpoints(&out), left, "{}", ran.stderr);
        assert!(value(&advice(&ran), "--resume").ends_with("step-12"));
        assert!(everything(&old) == before);
    }
}

#[test]
fn advised_command_resumes_training() {
    let place = Place::new();
    let args = "--method miss --rank 4 --save-every 1 --keep-last 9 --validation 0";
    let args: Vec<_> = args.split(' ').collect();
    let points = [("FAILPOINTS", "not_finite=6*off->return")];
    let model = fixture("llama-tiny");
    let ran = place.try_with(&points, &model, &place.rows, "out", &args);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let advice = advice(&ran);
    assert_eq!(value(&advice, "--learning-rate"), "0.001");
    assert!(
        value(&advice, "--resume").ends_with("checkpoints/step-5"),
        "{advice:?}"
    );
    let new = std::path::PathBuf::from(value(&advice, "--out"));
    bone(&advice).succeeded();
    assert_eq!(steps(&new), (6..=12).collect::<Vec<_>>());
    // Repeats it under another name.
    let again = resume(&place.path("out"), &[]).succeeded();
    assert!(!again.stderr.contains("lower"), "{}", again.stderr);
}

#[test]
fn diverged_last_step_writes_no_result() {
    let place = Place::new();
    let args = "--method full --learning-rate 0.001 --save-every 4";
    let old = place.train("old", &args.split(' ').collect::<Vec<_>>()).out;
    let out = place.path("out");
    let ruin = "--max-steps 13 --learning-rate 3e38 --schedule constant";
    let ruin: Vec<_> = ruin.split(' ').collect();
    let ran = resume(&old, &[&ruin[..], &["--out", text(&out)]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for result in ["model", "finished.json"] {
        assert!(!out.join(result).exists(), "{result}");
    }
    assert!(old.join("model/model.safetensors").exists());
}

#[test]
fn the_best_checkpoint_stays_when_a_run_is_resumed() {
    let place = Place::new();
    // The learning rate ruins the progress of the first steps.
    let args = "--method miss --rank 4 --max-steps 12 --save-every 3 --keep-best --keep-last 1 --eval-every 3 \
                --learning-rate 0.3 --schedule constant --max-grad-norm 0";
    let args: Vec<_> = args.split_whitespace().collect();
    let points = [("FAILPOINTS", "micro=10*off->return")];
    let model = fixture("llama-tiny");
    let ran = place.try_with(&points, &model, &place.rows, "out", &args);
    assert_eq!(ran.code, None, "{}", ran.stderr);
    let out = place.path("out");
    resume(&out, &[]).succeeded();
    let run = Run::read(out.clone());
    let best = run.evaluations.iter().skip(1);
    let best = best.min_by(|one, other| number(one, "loss").total_cmp(&number(other, "loss")));
    let best = number(best.unwrap(), "step") as usize;
    let kept = checkpoints(&out);
    assert!(
        kept.contains(&best) && kept.contains(&12),
        "{best}: {kept:?}"
    );
}

#[test]
fn unsaved_result_is_retried_on_full_disk() {
    let place = Place::new();
    let model = fixture("llama-tiny");
    let full = |points, out, args: &[&str]| {
        let args = [&SAVES[..4], args].concat();
        place.try_with(&[("FAILPOINTS", points)], &model, &place.rows, out, &args)
    };
    let ran = full("result=1*return->off", "later", &["--save-minutes", "0"]).succeeded();
    let wanted = "retrying for up to one hour";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    assert!(
        place
            .path("later/adapter/adapter_model.safetensors")
            .exists()
    );
    // A result that a checkpoint also holds need not be retried.
    let ran = full("result=return", "saved", &["--save-every", "4"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!ran.stderr.contains(wanted), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the result needs about"),
        "{}",
        ran.stderr
    );
    resume(&place.path("saved"), &[]).succeeded();
}

#[cfg(unix)]
#[test]
fn signal_stops_retry_on_full_disk() {
    let place = Place::new();
    let args =
        "--template plain --validation 0 --device cpu --max-steps 2 --save-minutes 0 --method miss";
    let args: Vec<_> = args.split(' ').collect();
    let mut run = BackgroundRun::begin(&place, "out", "result=return", &args);
    run.until("retrying for up to one hour");
    let (_, said) = run.stopped_by("-TERM", 143);
    assert!(said.contains("after step 2 of 2, not saved: "), "{said}");
}

#[test]
fn diverged_run_without_checkpoint_advises_restart() {
    let place = Place::new();
    let args = "--method miss --rank 4 --learning-rate 1e30 --schedule constant --save-every 1 --validation 0";
    let args: Vec<_> = args.split(' ').collect();
    let ran = place.try_on(&fixture("llama-tiny"), &place.rows, "out", &args);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let wanted = "start again with --overwrite and a lower";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn repeated_stops_keep_few_checkpoints() {
    let place = Place::new();
    let args =
        "--template plain --validation 0 --device cpu --max-steps 90 --keep-last 1 --method miss";
    let args: Vec<_> = args.split(' ').collect();
    let mut run = BackgroundRun::begin(&place, "out", "micro=sleep(100)", &args);
    run.until("step 1/90");
    let (out, _) = run.stopped_by("-TERM", 143);
    for _ in 0..3 {
        let mut run = BackgroundRun::on(&out, "micro=sleep(100)");
        run.until("  epoch ");
        run.until("  epoch ");
        run.stopped_by("-TERM", 143);
    }
    assert!(checkpoints(&out).len() <= 2, "{:?}", checkpoints(&out));
}

#[test]
fn given_max_steps_replace_epochs_of_fork() {
    let place = Place::new();
    // 32 rows: 8 steps per epoch.
    let args = "--epochs 2 --max-steps 10 --batch-size 4";
    let args = [&SAVES[..], &args.split(' ').collect::<Vec<_>>()].concat();
    let old = place.train("old", &args).out;
    for (more, last) in [
        (&["--max-steps", "20"][..], 20),
        (&["--max-steps", "30", "--epochs", "2"], 16),
    ] {
        let new = place.path(&format!("until-{last}"));
        resume(&old, &[more, &["--out", text(&new)]].concat()).succeeded();
        assert_eq!(steps(&new), (11..=last).collect::<Vec<_>>());
    }
}

#[test]
fn leftovers_of_killed_run_do_not_block() {
    let place = Place::new();
    // Killed before its first step.
    let begun = place.path("begun");
    std::fs::create_dir_all(begun.join("logs")).unwrap();
    for file in [
        "config.partial",
        "metrics.partial",
        "logs/bone.2026-01-01.jsonl",
        "run.lock",
    ] {
        std::fs::write(begun.join(file), "").unwrap();
    }
    place.train("begun", &SAVES);
    // Killed while its folders were written or removed.
    let out = begun;
    let left = [
        "model.partial-123",
        "checkpoints.removed",
        "model.old.removed",
    ];
    let theirs = ["model.partial-mine", "notes.removed"];
    for name in left.iter().chain(&theirs) {
        std::fs::create_dir_all(out.join(name).join("step-4")).unwrap();
    }
    rewind(&out, 8);
    resume(&out, &[]).succeeded();
    assert!(!left.iter().any(|name| out.join(name).exists()));
    assert!(theirs.iter().all(|name| out.join(name).exists()));
}
