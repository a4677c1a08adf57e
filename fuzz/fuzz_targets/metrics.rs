//! `metrics.jsonl` of a run that is gone on with.
#![no_main]

use bone_train::report::{Continued, METRICS_FILE};
use libfuzzer_sys::fuzz_target;

/// Steps that were done, and the last one that was evaluated after.
const DONE: usize = 5;
const EVALUATED: usize = 3;

// Before a zero byte what is in the file, after it the lines that a checkpoint has kept.
fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let file = parts.next().unwrap_or_default();
    let unwritten = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join(METRICS_FILE);
    std::fs::write(&path, file).expect("written");
    let go_on = || {
        let at = (DONE, Some(EVALUATED));
        let record = Continued::prepare(out.path(), at, &unwritten).expect("prepared");
        record.take_place().expect("gone on");
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
        let mut before = file.split(|&byte| byte == b'\n');
        let mut kept = unwritten.as_bytes().split(|&byte| byte == b'\n');
        assert!(before.any(|before| before == line) || kept.any(|kept| kept == line));
    }
    assert_eq!(go_on(), kept);
});
