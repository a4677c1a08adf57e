//! Settings that change only time and memory.

use crate::command::fixture;
use crate::runs::{Place, Run};
use serde_json::Value;
use std::path::PathBuf;

const METHODS: [&[&str]; 3] = [
    &["--method", "bone", "--rank", "4"],
    &["--method", "miss", "--rank", "8", "--dropout", "0.2"],
    &["--method", "full"],
];

/// Runs every method with each of `settings`. The losses must equal those of the first.
#[track_caller]
fn assert_same_losses(methods: &[&[&str]], settings: &[&[&str]]) {
    const COMMON: [&str; 4] = ["--max-steps", "8", "--learning-rate", "0.001"];
    for method in methods {
        let place = Place::new();
        let losses: Vec<_> = settings
            .iter()
            .enumerate()
            .map(|(index, settings)| {
                let args = [&COMMON[..], method, settings].concat();
                place.train(&index.to_string(), &args).losses()
            })
            .collect();
        for (settings, other) in settings.iter().zip(&losses) {
            assert_eq!(losses[0].len(), other.len());
            for (expected, loss) in losses[0].iter().zip(other) {
                let difference = (loss - expected).abs();
                assert!(
                    difference < 1e-5,
                    "{method:?} {settings:?}: {loss}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn gradient_accumulation_equals_larger_batch() {
    let settings: [&[&str]; 3] = [
        &["--batch-size", "4"],
        &["--batch-size", "2", "--gradient-accumulation", "2"],
        &["--batch-size", "1", "--gradient-accumulation", "4"],
    ];
    assert_same_losses(&METHODS, &settings);
}

#[test]
fn recompute_and_chunked_head_save_memory_and_change_nothing() {
    let settings: [&[&str]; 4] = [
        &["--recompute", "false", "--chunked-head", "false"],
        &["--recompute", "true", "--chunked-head", "false"],
        &["--recompute", "false", "--head-chunk", "16"],
        &["--recompute", "true", "--head-chunk", "7"],
    ];
    assert_same_losses(&METHODS, &settings);
}

/// Returns a model of random weights, wide enough for its products to be split among threads.
fn wide(place: &Place, fixture_name: &str, width: usize) -> PathBuf {
    let from = fixture(fixture_name);
    let config = std::fs::read(from.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    let old = config["hidden_size"].as_u64().unwrap() as usize;
    for key in ["hidden_size", "intermediate_size", "attention_hidden_size"] {
        if let Some(size) = config[key].as_u64() {
            config[key] = (size as usize * width / old).into();
        }
    }
    let folder = place.path(fixture_name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::copy(from.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    folder
}

#[test]
fn thread_count_does_not_change_results() {
    let place = Place::new();
    let methods: [(&[&str], &str); 2] = [
        (
            &["--method", "bone", "--rank", "8"],
            "adapter/adapter_model.safetensors",
        ),
        (&["--method", "full"], "model/model.safetensors"),
    ];
    for model in ["llama-tiny", "rwkv6-tiny-head12"].map(|name| wide(&place, name, 192)) {
        for (method, result) in methods {
            let run = |threads: &str| {
                let args = ["--init", "random", "--overwrite", "--max-steps", "3"];
                let args = [&args[..], &["--batch-size", "8"], method].concat();
                let environment = [("RAYON_NUM_THREADS", threads)];
                let ran = place.try_with(&environment, &model, &place.rows, "out", &args);
                ran.succeeded();
                let run = Run::read(place.path("out"));
                (run.numbers(), std::fs::read(run.out.join(result)).unwrap())
            };
            let one = run("1");
            for threads in ["2", "3", "8"] {
                let same = run(threads) == one;
                assert!(same, "{}, {method:?}: {threads} threads", model.display());
            }
        }
    }
}
