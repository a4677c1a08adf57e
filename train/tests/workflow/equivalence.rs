//! Settings that change time and memory, and nothing else.

use crate::runs::Place;

const METHODS: [&[&str]; 3] = [
    &["--method", "bone", "--rank", "4"],
    &["--method", "miss", "--rank", "8", "--dropout", "0.2"],
    &["--method", "full"],
];

/// Runs every method with each of `settings`: the losses must be the first's.
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
fn accumulating_four_rows_is_a_batch_of_four() {
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
