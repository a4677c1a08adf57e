//! A run's settings: `bone train FILE.toml`, and those in a checkpoint.
#![no_main]

use bone_train::config::{self, Given};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    let given = Given {
        file: Some(file.path().into()),
        ..Given::default()
    };
    if let Err(error) = config::resolve(&given) {
        bone_fuzz::bounded(error);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let given = Given {
        set: vec!["out=out".into()],
        ..Given::default()
    };
    let place = Path::new("state.json");
    match config::resolve_over(&given, text, place) {
        // Written settings must parse to the same settings.
        Ok(config) => {
            let again = config::resolve_over(&given, &config.to_toml(), place);
            assert_eq!(again.expect("read again"), config);
        }
        Err(error) => bone_fuzz::bounded(error),
    }
});
