//! Starting a run from an adapter.

use crate::command::{fixture, text};
use crate::runs::{Place, Run, tensors};

/// Checks that a second run starts from the result of the first and improves it.
#[track_caller]
fn assert_second_run_improves(
    place: &Place,
    first: &Run,
    adapter: &std::path::Path,
    out: &str,
    args: &[&str],
) {
    let all = [&["--adapter", text(adapter)], args].concat();
    let second = place.train(out, &all);
    let (_, ended) = first.first_and_last_validation();
    let (begun, last) = second.first_and_last_validation();
    assert!(
        (begun - ended).abs() < 1e-5,
        "{args:?}: it ended at {ended} and begins at {begun}"
    );
    assert!(last < begun, "{args:?}: {begun} -> {last}");
    let names = |run: &Run| {
        let file = run.out.join("adapter/adapter_model.safetensors");
        tensors(&file).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(first), names(&second), "{args:?}");

    // The written settings reproduce the same run.
    let settings = second.out.join("config.toml");
    let again = place.path("again");
    let ran = crate::command::bone(["train", text(&settings), "--out", text(&again)]);
    ran.succeeded();
    assert_eq!(Run::read(again.clone()).numbers(), second.numbers());
    std::fs::remove_dir_all(again).unwrap();
}

#[test]
fn every_method_continues_from_its_adapter() {
    let methods: [&[&str]; 7] = [
        &["--method", "bone", "--rank", "4"],
        &["--method", "bone", "--block-axis", "input", "--rank", "4"],
        &["--method", "miss", "--rank", "7", "--train-parts", "ln"],
        &["--method", "miss-mini", "--rank", "8", "--mini-width", "4"],
        &["--method", "lora", "--rank", "4", "--alpha", "8"],
        &["--method", "pissa", "--rank", "4"],
        &["--method", "olora", "--rank", "4"],
    ];
    let place = Place::new();
    for (index, args) in methods.iter().enumerate() {
        let first = place.train(&format!("first-{index}"), args);
        let next = format!("next-{index}");
        assert_second_run_improves(
            &place,
            &first,
            &first.out,
            &next,
            &["--learning-rate", "0.001"],
        );
    }
}

#[test]
fn given_settings_must_match_adapter() {
    let place = Place::new();
    let first = place.train("first", &["--method", "miss", "--rank", "8"]);
    let adapter = first.out.join("adapter");
    let agreeing = ["--method", "miss", "--rank", "8", "--dropout", "0.1"];
    let agreeing = [&agreeing[..], &["--learning-rate", "0.001"]].concat();
    assert_second_run_improves(&place, &first, &adapter, "agrees", &agreeing);

    let model = fixture("llama-tiny");
    let disagreeing = [
        "--method",
        "bone",
        "--rank",
        "4",
        "--targets",
        "q_proj",
        "--layers",
        "0",
        "--mini-width",
        "4",
        "--lora-plus-ratio",
        "2",
    ];
    let args = [&["--adapter", text(&adapter)], &disagreeing[..]].concat();
    let ran = place.try_on(&model, &place.rows, "no", &args);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    for part in [
        "--method: is \"bone\", but",
        " has \"miss\"",
        "--rank: is 4, but",
        " has 8",
        "--targets: is",
        "--layers: is",
        "--mini-width: has no effect with method miss, only with miss-mini",
        "--lora-plus-ratio: has no effect with method miss, only with lora",
    ] {
        assert!(ran.stderr.contains(part), "no {part:?} in {}", ran.stderr);
    }
    assert!(!place.path("no").exists());

    let nowhere = place.path("nowhere");
    let ran = place.try_on(&model, &place.rows, "no", &["--adapter", text(&nowhere)]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("not found"), "{}", ran.stderr);
}
