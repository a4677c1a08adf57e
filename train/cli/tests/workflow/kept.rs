//! What a run keeps of what it has learned, whatever happens.

use crate::command::{Ran, bone, bone_with, copy_fixture, fixture, text};
use crate::going::Going;
use crate::runs::{Place, Run, SAVES, adapter, number, resume};
use std::path::Path;

/// The steps of its checkpoints.
fn checkpoints(out: &Path) -> Vec<usize> {
    let entries = std::fs::read_dir(out.join("checkpoints")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let steps = |name: String| {
        name.strip_prefix("step-")
            .and_then(|steps| steps.parse().ok())
    };
    let mut all: Vec<usize> = names.filter_map(steps).collect();
    all.sort_unstable();
    all
}

/// The last line of what it said, which a person types.
fn advice(ran: &Ran) -> Vec<String> {
    let line = ran.stderr.lines().last().unwrap().trim();
    let words = shlex::split(line).unwrap();
    assert_eq!(words[0], "bone", "{}", ran.stderr);
    words[1..].to_vec()
}

/// Goes on with a run whose newest checkpoint is damaged: it is refused, and then as it says.
fn take_the_offer(out: &Path) {
    let ran = resume(out, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let said = ran.stderr.trim();
    let offer = said.rsplit("go on from it with ").next().unwrap();
    let mut words = shlex::split(offer).unwrap();
    words.insert(0, "train".to_owned());
    bone(words).succeeded();
}

/// Every step of its record.
fn steps(out: &Path) -> Vec<usize> {
    let steps = Run::read(out.to_path_buf()).steps;
    steps
        .iter()
        .map(|step| number(step, "step") as usize)
        .collect()
}

#[test]
fn what_is_lost_takes_the_place_of_nothing() {
    let place = Place::new();
    let few = [
        "--method",
        "miss",
        "--rank",
        "4",
        "--save-every",
        "2",
        "--keep-last",
        "1",
    ];
    let ruin = "--max-steps 24 --learning-rate 1e30 --schedule constant --save-every 1 --allow-change \
                max_steps,learning_rate,schedule";
    let ruin: Vec<_> = ruin.split_whitespace().collect();
    // Seen by the evaluation after it, or by the steps.
    for (validation, left) in [("8", vec![12]), ("0", vec![12, 13])] {
        let args = [&few[..], &["--validation", validation]].concat();
        let out = place.train(validation, &args).out;
        let ran = resume(&out, &ruin);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert_eq!(checkpoints(&out), left, "{}", ran.stderr);
        // And again, as who begins runs anew when they end does.
        let again = resume(&out, &[]);
        assert_eq!(advice(&again), advice(&ran));
        // What it says to do helps, and what was changed stays so.
        let advice = advice(&ran);
        assert!(
            advice.contains(&"learning_rate=1e29".to_owned()),
            "{advice:?}"
        );
        let lower = advice.iter().map(|word| word.replace("=1e29", "=1e-4"));
        let ran = bone(lower.collect::<Vec<_>>()).succeeded();
        assert!(ran.stderr.contains("after step 12 of 24"), "{}", ran.stderr);
        assert_eq!(steps(&out), (1..=24).collect::<Vec<_>>());
        assert_eq!(checkpoints(&out).last(), Some(&24));
    }
}

#[test]
fn a_last_step_that_ruins_all_is_taken_anew() {
    let place = Place::new();
    let args = "--method full --learning-rate 0.001 --save-every 4";
    let out = place.train("out", &args.split(' ').collect::<Vec<_>>()).out;
    let ruin = "--max-steps 13 --learning-rate 3e38 --schedule constant --allow-change \
                max_steps,learning_rate,schedule";
    let ran = resume(&out, &ruin.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the model was not saved"),
        "{}",
        ran.stderr
    );
    let advice = advice(&ran);
    let lower = advice.iter().map(|word| word.replace("=3e37", "=1e-4"));
    let ran = bone(lower.collect::<Vec<_>>()).succeeded();
    assert!(ran.stderr.contains("after step 12 of 13"), "{}", ran.stderr);
}

#[test]
fn the_best_is_kept_that_was_found_when_going_on() {
    let place = Place::new();
    let args = "--method miss --rank 4 --max-steps 9 --save-every 3 --keep-best --keep-last 9 --eval-every 4";
    let out = place.train("out", &args.split(' ').collect::<Vec<_>>()).out;
    // Step 6 was saved and not evaluated.
    let worse = "--eval-every 3 --keep-last 1 --max-steps 12 --learning-rate 300 --schedule constant \
                 --max-grad-norm 0 --allow-change max_steps,learning_rate,schedule,max_grad_norm";
    let worse: Vec<_> = worse.split_whitespace().collect();
    resume(&out.join("checkpoints/step-6"), &worse).succeeded();
    let run = Run::read(out.clone());
    let best = run.evaluations.iter().skip(1);
    let best = best.min_by(|one, other| number(one, "loss").total_cmp(&number(other, "loss")));
    assert_eq!(best.map(|best| number(best, "step")), Some(6.0));
    assert_eq!(checkpoints(&out), [6, 12]);
}

#[test]
fn what_is_in_memory_alone_waits_for_room() {
    let place = Place::new();
    let model = fixture("llama-tiny");
    let full = |points, out, args: &[&str]| {
        let args = [&SAVES[..4], args].concat();
        place.try_with(&[("FAILPOINTS", points)], &model, &place.rows, out, &args)
    };
    let ran = full("result=1*return->off", "later", &["--save-minutes", "0"]).succeeded();
    let wanted = "so that it waits, and tries again";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    assert!(
        place
            .path("later/adapter/adapter_model.safetensors")
            .exists()
    );
    // What a checkpoint has needs not wait.
    let ran = full("result=return", "saved", &["--save-every", "4"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!ran.stderr.contains(wanted), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the result takes about"),
        "{}",
        ran.stderr
    );
    resume(&place.path("saved"), &[]).succeeded();
}

#[cfg(unix)]
#[test]
fn what_waits_for_room_is_stopped_by_a_signal() {
    let place = Place::new();
    let args =
        "--template plain --validation 0 --device cpu --max-steps 2 --save-minutes 0 --method miss";
    let args: Vec<_> = args.split(' ').collect();
    let mut run = Going::begin(&place, "out", "result=return", &args);
    run.until("waits, and tries again");
    let (_, said) = run.stopped_by("-TERM", 143);
    assert!(said.contains("after step 2 of 2, not saved: "), "{said}");
}

#[test]
fn what_is_offered_has_what_was_changed() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    let change = "--max-steps 24 --learning-rate 0.005 --save-every 6 --allow-change max_steps,learning_rate";
    resume(&out, &change.split(' ').collect::<Vec<_>>()).succeeded();
    let whole = adapter(&out);
    let numbers = Run::read(out.clone()).numbers();
    // Of those after the change only a damaged one is left.
    for gone in ["checkpoints/step-24", "finished.json"] {
        let path = out.join(gone);
        let removed = match path.is_dir() {
            true => std::fs::remove_dir_all(path),
            false => std::fs::remove_file(path),
        };
        removed.unwrap();
    }
    std::fs::write(out.join("checkpoints/step-18/state.json"), "{").unwrap();
    take_the_offer(&out);
    assert_eq!(Run::read(out.clone()).numbers(), numbers);
    assert!(adapter(&out) == whole);
}

#[test]
fn where_nothing_good_is_left_it_says_so() {
    let place = Place::new();
    let args = "--method miss --rank 4 --learning-rate 1e30 --schedule constant --save-every 1 --validation 0";
    let args: Vec<_> = args.split(' ').collect();
    let ran = place.try_on(&fixture("llama-tiny"), &place.rows, "out", &args);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let wanted = "begin anew with --overwrite and a lower learning rate";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
}

#[test]
fn what_is_advised_has_the_files_where_they_are_now() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("a model"));
    let args = "--method miss --rank 4 --max-steps 8 --save-every 2 --keep-last 9 --validation 0";
    let args: Vec<_> = args.split(' ').collect();
    let out = place.train_on(&model, &place.rows, "my out", &args).out;
    let moved = place.path("my model");
    std::fs::rename(&model, &moved).unwrap();
    let data = format!("{0}[:20],{0}[20:]@0.5", text(&place.rows));
    let more = [
        "--model",
        text(&moved),
        "--data",
        &data,
        "--max-steps",
        "12",
        "--allow-change",
    ];
    resume(&out, &[&more[..], &["data,rows,max_steps"]].concat()).succeeded();
    // After step 8 nothing is whole.
    for broken in ["step-10", "step-12"] {
        std::fs::write(out.join("checkpoints").join(broken).join("state.json"), "{").unwrap();
    }
    std::fs::remove_file(out.join("finished.json")).unwrap();
    let before = adapter(&out);
    take_the_offer(&out);
    assert!(adapter(&out) == before);
}

#[cfg(unix)]
#[test]
fn runs_that_are_stopped_again_and_again_keep_as_many() {
    let place = Place::new();
    let args =
        "--template plain --validation 0 --device cpu --max-steps 90 --keep-last 1 --method miss";
    let args: Vec<_> = args.split(' ').collect();
    let mut run = Going::begin(&place, "out", "micro=sleep(100)", &args);
    run.until("step 1/90");
    let (out, _) = run.stopped_by("-TERM", 143);
    for _ in 0..3 {
        let mut run = Going::on(&out, "micro=sleep(100)");
        run.until("  epoch ");
        run.until("  epoch ");
        run.stopped_by("-TERM", 143);
    }
    assert!(checkpoints(&out).len() <= 2, "{:?}", checkpoints(&out));
}

#[test]
fn a_run_that_has_both_lengths_drops_one_only_where_that_is_named() {
    let place = Place::new();
    // 32 rows: 8 steps an epoch.
    let args = "--epochs 2 --max-steps 10 --batch-size 4";
    let args = [&SAVES[..], &args.split(' ').collect::<Vec<_>>()].concat();
    let out = place.train("out", &args).out;
    let longer = ["--max-steps", "30", "--allow-change"];
    let ran = resume(&out, &[&longer[..], &["max_steps"]].concat());
    let wanted = "epochs was 2.0 and is as many as max_steps takes now";
    assert!(
        ran.code == Some(2) && ran.stderr.contains(wanted),
        "{}",
        ran.stderr
    );
    let both = [&longer[..], &["max_steps", "--epochs", "2"]].concat();
    resume(&out, &both).succeeded();
    assert_eq!(steps(&out).len(), 16);
    resume(
        &out,
        &[
            &["--max-steps", "20", "--allow-change"][..],
            &["max_steps,epochs"],
        ]
        .concat(),
    )
    .succeeded();
    assert_eq!(steps(&out).len(), 20);
}

#[test]
fn what_a_killed_run_leaves_is_in_nobodys_way() {
    let place = Place::new();
    // Before its first step.
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
    // While its folders were written or removed.
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
    resume(&out.join("checkpoints/step-8"), &[]).succeeded();
    assert!(!left.iter().any(|name| out.join(name).exists()));
    assert!(theirs.iter().all(|name| out.join(name).exists()));
}

#[test]
fn going_back_is_all_or_nothing() {
    let place = Place::new();
    let out = place.train("out", &SAVES).out;
    let before = Run::read(out.clone()).numbers();
    // Where it has not begun its files are those of before.
    let change = ["--learning-rate", "0.02", "--allow-change", "learning_rate"];
    let four = out.join("checkpoints/step-4");
    let args = [&["train", "--resume", text(&four)], &change[..]].concat();
    let ran = bone_with(args, &[("FAILPOINTS", "goes_on=return")]);
    assert_eq!(ran.code, None, "{}", ran.stderr);
    // Killed between one and the next: nothing was set aside, and the newest goes on as it was.
    assert_eq!(checkpoints(&out), [4, 8, 12]);
    resume(&out, &[]).succeeded();
    assert_eq!(Run::read(out).numbers(), before);
}
