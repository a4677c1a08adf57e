//! The whole workflow with every method.

use crate::command::{bone, fixture, text};
use crate::runs::{Place, Run, generate, merge, number};

const PROMPT: &str = "say ab 4";

/// Trains, checks the output folder, and trains again from the settings written there.
#[track_caller]
fn trained(place: &Place, args: &[&str]) -> Run {
    let run = place.train("out", args);
    let steps: Vec<_> = run.steps.iter().map(|line| number(line, "step")).collect();
    assert_eq!(steps, (1..=12).map(f64::from).collect::<Vec<_>>());
    let evaluations = run.evaluations.iter().map(|line| number(line, "step"));
    assert_eq!(
        evaluations.collect::<Vec<_>>(),
        (0..=12).map(f64::from).collect::<Vec<_>>()
    );
    for line in &run.steps {
        assert!(number(line, "loss") > 0.0 && number(line, "grad_norm") > 0.0);
        assert!(number(line, "tokens") < number(line, "tokens_processed"));
        number(line, "seconds");
    }
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");

    let again = place.path("again");
    let settings = run.out.join("config.toml");
    bone(["train", text(&settings), "--out", text(&again)]).succeeded();
    assert_eq!(Run::read(again.clone()).numbers(), run.numbers());
    let settings = |run: &std::path::Path| {
        let text = std::fs::read_to_string(run.join("config.toml")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("out = "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(settings(&again), settings(&run.out));
    run
}

#[track_caller]
fn adapter_workflow(args: &[&str]) {
    let place = Place::new();
    let base = fixture("llama-tiny");
    let run = trained(&place, args);
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        assert!(run.out.join("adapter").join(file).is_file(), "{file}");
    }

    let merged = merge(&base, &run.out, place.path("merged"));
    for file in ["config.json", "tokenizer.json", "generation_config.json"] {
        let copied = std::fs::read(merged.join(file)).unwrap();
        assert_eq!(copied, std::fs::read(base.join(file)).unwrap(), "{file}");
    }
    let prompt = ["--prompt", PROMPT];
    let of_merged = generate(&merged, &prompt);
    let out = text(&run.out);
    let adapted = generate(&base, &["--prompt", PROMPT, "--adapter", out]);
    let adapter = run.out.join("adapter");
    let of_folder = generate(&base, &["--prompt", PROMPT, "--adapter", text(&adapter)]);
    assert_eq!(adapted, of_merged);
    assert_eq!(adapted, of_folder);
    let new = adapted.trim_end().strip_prefix(PROMPT).unwrap();
    assert!(!new.trim().is_empty(), "{adapted:?}");
    assert_ne!(
        adapted,
        generate(&base, &prompt),
        "the adapter changes nothing"
    );

    let on_merged = ["--max-steps", "1", "--method", "bone", "--rank", "4"];
    let next = place.train_on(&merged, &place.rows, "next", &on_merged);
    let (_, last) = run.first_and_last_validation();
    next.assert_starts_at(last, 1e-4);
}

#[test]
fn bone_output_axis_trains_and_merges() {
    adapter_workflow(&["--method", "bone", "--rank", "4"]);
}

#[test]
fn bone_input_axis_trains_and_merges() {
    adapter_workflow(&["--method", "bone", "--block-axis", "input", "--rank", "4"]);
}

#[test]
fn miss_with_dropout_trains_and_merges() {
    adapter_workflow(&["--method", "miss", "--rank", "7", "--dropout", "0.1"]);
}

#[test]
fn miss_mini_trains_and_merges() {
    adapter_workflow(&["--method", "miss-mini", "--rank", "8", "--mini-width", "4"]);
}

#[test]
fn lora_variants_train_and_merge() {
    adapter_workflow(&["--method", "lora", "--rank", "8", "--lora-plus-ratio", "4"]);
    let scaled = ["--rank", "6", "--alpha", "4", "--rslora", "true"];
    adapter_workflow(&[&["--method", "lora", "--dropout", "0.1"], &scaled[..]].concat());
    adapter_workflow(&["--method", "olora", "--rank", "4"]);
    adapter_workflow(&["--method", "pissa", "--rank", "4"]);
    adapter_workflow(
        &[
            &["--method", "pissa", "--pissa-iterations", "4"],
            &scaled[..],
        ]
        .concat(),
    );
}

#[test]
fn full_fine_tuning_trains_and_continues() {
    let place = Place::new();
    let run = trained(&place, &["--method", "full"]);
    assert!(!run.out.join("adapter").exists());
    let model = run.out.join("model");
    let prompt = ["--prompt", PROMPT];
    let tuned = generate(&model, &prompt);
    assert!(
        !tuned
            .trim_end()
            .strip_prefix(PROMPT)
            .unwrap()
            .trim()
            .is_empty()
    );
    assert_ne!(tuned, generate(&fixture("llama-tiny"), &prompt));

    let next = place.train_on(
        &model,
        &place.rows,
        "next",
        &["--max-steps", "1", "--rank", "4"],
    );
    let (_, last) = run.first_and_last_validation();
    let (first, _) = next.first_and_last_validation();
    assert!(
        (first - last).abs() < 1e-5,
        "{last} in the run, {first} as saved"
    );
}
