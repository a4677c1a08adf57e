//! `metrics.jsonl` of a run that is resumed.
#![no_main]

use bone_train::layout::METRICS;
use bone_train::report::Metrics;
use libfuzzer_sys::fuzz_target;

/// Steps of the run, and the last step before an evaluation.
const DONE: usize = 5;
const EVALUATED: usize = 3;

// The input is the file's content, a zero byte, then the lines stored in the checkpoint.
fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let file = parts.next().unwrap_or_default();
    let unwritten = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join(METRICS);
    std::fs::write(&path, file).expect("written");
    let resume = || {
        let resumed = Metrics::resume(out.path(), 1..=DONE, Some(EVALUATED), &unwritten);
        resumed.and_then(|mut metrics| metrics.take_place()).expect("resumed");
        std::fs::read(&path).expect("there")
    };
    let kept = resume();
    // All kept lines were complete lines before; a second resume changes nothing.
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
    assert_eq!(resume(), kept);
});
