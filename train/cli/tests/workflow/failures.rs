//! Trouble in a long run: non-finite numbers, full disks, changed files.

use crate::command::{Ran, bone, fixture, text};
use crate::runs::{Place, Run, SAVES, adapter, number, resume, rewind};
use std::path::{Path, PathBuf};

#[track_caller]
fn with_points(place: &Place, points: &str, out: &str, args: &[&str]) -> Ran {
    let environment = [("FAILPOINTS", points)];
    place.try_with(&environment, &fixture("llama-tiny"), &place.rows, out, args)
}

/// Returns every file below a folder with its content, except the lock file.
pub(crate) fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("run.lock") => {}
                false => found.push((path.clone(), std::fs::read(path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn non_finite_step_is_skipped() {
    let place = Place::new();
    let points = "not_finite=4*off->1*return->off";
    let ran = with_points(&place, points, "out", &SAVES).succeeded();
    assert!(
        ran.stderr
            .contains("step 5 skipped: its loss or gradients are not finite"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("1 step skipped"), "{}", ran.stderr);
    let run = Run::read(place.path("out"));
    assert_eq!((run.steps.len(), run.skipped.len()), (11, 1));
    let skipped = &run.skipped[0];
    assert_eq!(
        (number(skipped, "step"), number(skipped, "skipped")),
        (5.0, 1.0)
    );
    let rows = skipped["rows"].as_array().unwrap();
    assert!(
        rows.len() == 4
            && rows
                .iter()
                .all(|row| row.as_u64().is_some_and(|row| row < 40))
    );
}

#[test]
fn three_non_finite_steps_stop_the_run() {
    let place = Place::new();
    let whole = place.train("whole", &SAVES);
    let ran = with_points(&place, "not_finite=6*off->return", "out", &SAVES);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for wanted in [
        "step 9 and the 2 steps before it",
        "(rows ",
        "--learning-rate 0.001",
    ] {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
    let out = place.path("out");
    // Its newest checkpoint is older than the first of these steps.
    bone(["train", "--resume", text(&out)]).succeeded();
    assert_eq!(Run::read(out).numbers(), whole.numbers());
}

#[test]
fn damaged_checkpoint_is_rejected_with_older_offered() {
    let place = Place::new();
    let run = place.train("out", &SAVES);
    std::fs::remove_file(run.out.join("finished.json")).unwrap();
    let newest = run.out.join("checkpoints/step-12");
    let good = everything(&run.out);
    let files: Vec<_> = everything(&newest)
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(files.len(), 6, "{files:?}");
    let refused = |file: &Path, bytes: &[u8]| {
        let before = std::fs::read(file).unwrap();
        std::fs::write(file, bytes).unwrap();
        let now = everything(&run.out);
        let ran = bone(["train", "--resume", text(&run.out)]);
        assert_eq!(ran.code, Some(1), "{}: {}", file.display(), ran.stderr);
        let offer = format!("--resume {}", run.out.join("checkpoints/step-8").display());
        assert!(ran.stderr.contains(&offer), "{}", ran.stderr);
        assert!(everything(&run.out) == now, "{}", file.display());
        std::fs::write(file, before).unwrap();
        ran.stderr
    };
    for file in &files {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let said = refused(file, &bytes);
        let name = file.strip_prefix(&newest).unwrap().to_str().unwrap();
        assert!(said.contains(name), "{name}: {said}");
        refused(file, &bytes[..middle]);
    }
    // A checkpoint of another version.
    let list = newest.join("complete.json");
    let older = std::fs::read_to_string(&list).unwrap();
    let said = refused(
        &list,
        older.replace("\"format\": 1", "\"format\": 7").as_bytes(),
    );
    assert!(
        said.contains("format 7") && said.contains("use the version that wrote it"),
        "{said}"
    );
    assert!(everything(&run.out) == good);
    // The suggested checkpoint works.
    let new = place.path("new");
    let eight = run.out.join("checkpoints/step-8");
    resume(&eight, &["--out", text(&new)]).succeeded();
    assert!(adapter(&new) == adapter(&run.out));
}

#[test]
fn changed_rows_are_not_resumed() {
    let place = Place::new();
    let run = place.train("out", &SAVES);
    rewind(&run.out, 8);
    let good = everything(&run.out);
    let rows = std::fs::read_to_string(&place.rows).unwrap();
    std::fs::write(&place.rows, rows.replacen("say ab", "say cd", 1)).unwrap();
    let ran = resume(&run.out, &[]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    for wanted in ["training rows", "--out NEW"] {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
    assert!(everything(&run.out) == good);
    std::fs::write(&place.rows, rows).unwrap();
    resume(&run.out, &[]).succeeded();
    assert_eq!(Run::read(run.out.clone()).numbers(), run.numbers());
}

#[test]
fn a_changed_base_is_not_resumed() {
    let place = Place::new();
    let model = crate::command::copy_fixture("llama-tiny", &place.path("model"));
    let run = place.train_on(&model, &place.rows, "out", &SAVES);
    std::fs::remove_file(run.out.join("finished.json")).unwrap();
    let weights = model.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let ran = bone(["train", "--resume", text(&run.out)]);
    assert!(
        ran.code == Some(2)
            && ran
                .stderr
                .contains("model files: changed model.safetensors"),
        "{}",
        ran.stderr
    );
}

#[test]
fn resume_reports_a_finished_run() {
    let place = Place::new();
    let run = place.train("out", &SAVES);
    let before = everything(&run.out);
    let ran = bone(["train", "--resume", text(&run.out)]).succeeded();
    assert!(ran.stderr.contains("the run is finished"), "{}", ran.stderr);
    assert!(everything(&run.out) == before);
    for (path, wanted) in [
        (place.path("nothing"), "folder not found"),
        (place.path(""), "has no checkpoint"),
    ] {
        let ran = bone(["train", "--resume", text(&path)]);
        assert!(
            ran.code == Some(1) && ran.stderr.contains(wanted),
            "{}",
            ran.stderr
        );
    }
}

/// Runs `bone` with a file size limit in KiB.
#[cfg(unix)]
pub(crate) fn with_small_files(kib: usize, args: &[&str]) -> Ran {
    let binary = env!("CARGO_BIN_EXE_bone");
    let command = format!("ulimit -f {kib}; exec \"{binary}\" \"$@\"");
    let output = std::process::Command::new("bash")
        .args(["-c", &command, "bash"])
        .args(args)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[cfg(unix)]
#[test]
fn full_disk_loses_no_checkpoint() {
    let place = Place::new();
    let (model, out) = (fixture("llama-tiny"), place.path("out"));
    let args = |out| {
        let all = [
            "train",
            "--model",
            text(&model),
            "--data",
            text(&place.rows),
            "--out",
            out,
        ];
        let more = "--template plain --validation 8 --device cpu --max-steps 6 --save-every 2 \
                    --method full --learning-rate 0.001";
        all.into_iter()
            .chain(more.split_whitespace())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run = |kib, more: &[&str]| {
        let all = args(text(&out));
        let all: Vec<&str> = all
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        with_small_files(kib, &all)
    };
    // A later failure is detected before the first step, and the error names the needed size.
    let ran = run(150, &[]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let said = &ran.stderr;
    assert!(
        said.contains("a checkpoint needs about") && said.contains("raise the quota"),
        "{said}"
    );
    // Nothing blocks the next attempt.
    assert_eq!(everything(&out), []);
    // The disk fills up during the run: the run continues and writes its result.
    let ran = run(150, &["--shake-down", "false"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("checkpoint not written"),
        "{}",
        ran.stderr
    );
    assert!(out.join("model/model.safetensors").exists());
    assert_eq!(
        std::fs::read_dir(out.join("checkpoints")).unwrap().count(),
        0
    );
    // First with space, then without: the old result stays complete.
    let room = place.path("room");
    bone(args(text(&room))).succeeded();
    std::fs::remove_file(room.join("finished.json")).unwrap();
    rewind(&room, 4);
    let four = room.join("checkpoints/step-4");
    let before = everything(&room);
    let on = ["train", "--resume", text(&room)];
    let ran = with_small_files(20, &on);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let wanted = "a checkpoint needs about";
    assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    assert!(everything(&room) == before);
    let (before, model_before) = (everything(&four), everything(&room.join("model")));
    let small = place.path("small");
    let fork = ["--out", text(&small), "--shake-down", "false"];
    let ran = with_small_files(20, &[&on[..], &fork].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!small.join("model").exists(), "{}", ran.stderr);
    assert!(everything(&four) == before);
    assert!(everything(&room.join("model")) == model_before);
    bone(["train", "--resume", text(&room)]).succeeded();
    // The old result exists until the new run has passed its checks.
    let before = everything(&room);
    let all = args(text(&room));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let ran = with_small_files(20, &[&all[..], &["--overwrite"]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(everything(&room) == before);
}

#[test]
fn non_finite_model_is_not_saved() {
    let place = Place::new();
    let args = "--method full --learning-rate 3e38 --schedule constant --max-steps 1";
    let args: Vec<_> = args.split_whitespace().collect();
    let ran = with_points(&place, "", "out", &args);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for wanted in ["the model was not saved", "validation loss is not finite"] {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
    for result in ["model", "finished.json"] {
        assert!(!place.path("out").join(result).exists(), "{result}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn unwritable_output_folder_is_named() {
    let place = Place::new();
    let (model, out) = (fixture("llama-tiny"), "/proc/bone-out");
    let own = [
        "train",
        "--model",
        text(&model),
        "--data",
        text(&place.rows),
        "--out",
        out,
    ];
    let ran = bone([&own[..], &SAVES].concat());
    assert!(
        ran.code == Some(1) && ran.stderr.contains(out),
        "{}",
        ran.stderr
    );
}

#[test]
fn memory_stays_constant_during_training() {
    // The allocator reserves this for a saving thread at once, earlier or later depending on the load: a
    // twentieth of such a small process. If every save leaked, it would be fifteen times that.
    const CHUNK: f64 = (4 << 20) as f64;
    let place = Place::new();
    let args = [
        "--max-steps",
        "300",
        "--save-every",
        "20",
        "--eval-every",
        "30",
    ];
    let run = place.train("out", &[&SAVES[..4], &args].concat());
    let resident = |step: usize| number(&run.steps[step - 1], "resident_bytes");
    let most = |steps: std::ops::RangeInclusive<usize>| steps.map(resident).fold(0.0, f64::max);
    let (early, late) = (most(1..=30), most(31..=300));
    assert!(
        late <= 1.02 * early + CHUNK,
        "{early} by step 30, {late} after it"
    );
}
