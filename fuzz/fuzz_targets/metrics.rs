//! `metrics.jsonl` of a run that is gone on with.
#![no_main]

use bone_train::report::{METRICS_FILE, Metrics};
use libfuzzer_sys::fuzz_target;

/// Steps that were done, and the last one that was evaluated after.
const DONE: usize = 5;
const EVALUATED: usize = 3;

fuzz_target!(|bytes: &[u8]| {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join(METRICS_FILE);
    std::fs::write(&path, bytes).expect("written");
    let go_on = || {
        Metrics::go_on(out.path(), DONE, Some(EVALUATED)).expect("gone on");
        std::fs::read(&path).expect("there")
    };
    let kept = go_on();
    // What is kept are whole lines of before, and going on once more keeps all of it.
    assert!(kept.is_empty() || kept.ends_with(b"\n"));
    for line in kept
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let value: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        let last = match value["type"] == "evaluation" {
            true => EVALUATED,
            false => DONE,
        };
        assert!(value["step"].as_u64().expect("a step") <= last as u64);
        assert!(
            bytes
                .split(|&byte| byte == b'\n')
                .any(|before| before == line)
        );
    }
    assert_eq!(go_on(), kept);
});
