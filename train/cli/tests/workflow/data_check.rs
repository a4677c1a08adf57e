//! `bone data check`.

use std::path::Path;

use crate::command::{bone, fixture, text};
use crate::runs::Place;

#[test]
fn data_check_reports_rows_and_tokens() {
    let place = Place::new();
    let model = fixture("llama-tiny");
    let check = |data: &Path, args: &[&str]| {
        let mut all = vec![
            "data",
            "check",
            text(data),
            "--model",
            text(&model),
            "--template",
            "plain",
        ];
        all.extend(args);
        bone(all)
    };
    let ran = check(&place.rows, &["--max-seq-len", "18"]).succeeded();
    for part in [
        "40 rows of JSON Lines",
        "40 valid rows",
        "tokens per row",
        "tokens per sample",
        "of them trained",
        "with --packing: ",
        "sample 1 of ",
        "«",
        "truncated",
    ] {
        assert!(ran.stdout.contains(part), "no {part} in {}", ran.stdout);
    }
    let some = format!("{}[:7],{}[7:9]", text(&place.rows), text(&place.rows));
    let some = check(Path::new(&some), &[]).succeeded();
    assert!(
        some.stdout.contains("7 rows of") && some.stdout.contains("2 rows of"),
        "{}",
        some.stdout
    );
    let colour = check(&place.rows, &["--color", "always"]).succeeded();
    assert!(colour.stdout.contains("\u{1b}[32m") && !colour.stdout.contains('«'));
    // Good rows are shown together with the problems.
    let bad = place.path("bad.jsonl");
    let lines = std::fs::read_to_string(&place.rows).unwrap() + "{\n{\"instruction\": 1}\n";
    std::fs::write(&bad, lines).unwrap();
    let ran = check(&bad, &[]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("40 valid rows"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("line 41: invalid JSON") && ran.stderr.contains("line 42"),
        "{}",
        ran.stderr
    );
}
