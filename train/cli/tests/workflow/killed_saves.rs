//! A run that is killed during a save, at every disk operation.

use crate::command::{Ran, bone, fixture, text};
use crate::runs::{Place, Run, adapter};

/// Three steps, saved after each; the newest checkpoint is kept.
const ARGS: [&str; 10] = [
    "--method",
    "miss",
    "--rank",
    "4",
    "--max-steps",
    "3",
    "--save-every",
    "1",
    "--keep-last",
    "1",
];

/// Runs the command and kills it at disk operation `n`.
fn killed_at(place: &Place, n: usize, out: &str) -> Ran {
    let points = format!("save={n}*off->return");
    let environment = [("FAILPOINTS", points.as_str())];
    place.try_with(
        &environment,
        &fixture("llama-tiny"),
        &place.rows,
        out,
        &ARGS,
    )
}

#[test]
fn kill_during_save_loses_no_checkpoint() {
    let place = Place::new();
    let whole = place.train("whole", &ARGS);
    let (mut n, mut resumed, mut from) = (0, 0, 0);
    loop {
        let name = format!("killed-{n}");
        let ran = killed_at(&place, n, &name);
        if ran.code == Some(0) {
            break;
        }
        assert_eq!(ran.code, None, "{}", ran.stderr);
        let out = place.path(&name);
        let next = bone(["train", "--resume", text(&out)]);
        if next.code == Some(0) {
            resumed += 1;
            assert!(adapter(&out) == adapter(&whole.out), "killed at place {n}");
            assert_eq!(Run::read(out.clone()).numbers(), whole.numbers());
            // A later kill never resumes from an earlier step.
            let at = next.stderr.split("resumed at step ").nth(1);
            let at = at.and_then(|rest| rest.split_whitespace().next()).unwrap();
            let at: usize = at.parse().unwrap_or_else(|_| panic!("{}", next.stderr));
            assert!(
                at >= from,
                "place {n} resumes at {at}, those before from {from}"
            );
            from = at;
        } else {
            // Nothing was saved yet.
            assert_eq!(resumed, 0, "place {n}: {}", next.stderr);
            assert!(next.stderr.contains("has no checkpoint"), "{}", next.stderr);
        }
        // No incomplete folder has a name that looks complete.
        let left = std::fs::read_dir(out.join("checkpoints"));
        for entry in left.into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                !name.ends_with(".partial") || next.code != Some(0),
                "{name}"
            );
        }
        n += 1;
    }
    // The trial before the first step, and three saves.
    assert!(
        n > 80 && resumed > 45 && from == 3,
        "{n} places, {resumed} resumed, from {from}"
    );
}
