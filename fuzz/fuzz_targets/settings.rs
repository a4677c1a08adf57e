//! A run's settings: `bone train FILE.toml`, and those in a checkpoint.
#![no_main]

use bone_train::config::{self, TrainArgs};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    let args = TrainArgs {
        run: Some(file.path().into()),
        ..TrainArgs::default()
    };
    if let Err(error) = config::resolve(&args) {
        bone_fuzz::bounded(error);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let own = TrainArgs::default();
    let place = Path::new("state.json");
    match config::resolve_over(&own, text, place, Path::new("out")) {
        // What is read is written so that it is read again.
        Ok(gone) => {
            let written = gone.now.to_toml();
            let again = config::resolve_over(&own, &written, place, Path::new("out"));
            let differences = gone.now.differences(&again.expect("read again").now);
            assert!(differences.is_empty(), "{differences:?}");
        }
        Err(error) => bone_fuzz::bounded(error),
    }
});
