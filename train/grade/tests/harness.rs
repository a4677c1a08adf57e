//! Compares our verdicts with those of lm-evaluation-harness, which `tests/reference/grade_outputs.py`
//! writes.

#![allow(clippy::unwrap_used)]

use bone_grade::{Benchmark, Rule, gold, grade};
use serde_json::Value;
use std::collections::BTreeMap;

const OUTPUTS: &str = include_str!("../../../tests/fixtures/grading/outputs.jsonl");
const VERDICTS: &str = include_str!("../../../tests/fixtures/grading/lm_eval.json");
const DISAGREEMENTS: &str = include_str!("../../../tests/fixtures/grading/disagreements.tsv");

/// The harness's graders, and the matching rule for each.
const GRADERS: [(&str, Benchmark, Rule); 4] = [
    ("strict", Benchmark::Gsm8k, Rule::StrictMatch),
    ("flexible", Benchmark::Gsm8k, Rule::FlexibleExtract),
    ("hendrycks", Benchmark::Math, Rule::Boxed),
    ("hendrycks_math", Benchmark::Math, Rule::HendrycksMath),
];

/// Returns the rows of `disagreements.tsv`: our verdict by id and grader.
fn listed() -> BTreeMap<(String, String), bool> {
    let rows = DISAGREEMENTS.lines().skip(1).map(|row| {
        let cells: Vec<_> = row.split('\t').collect();
        let [id, grader, ours, theirs, why] = cells[..] else {
            panic!("not five cells: {row}");
        };
        let known = [("right", "wrong"), ("wrong", "right")];
        assert!(known.contains(&(ours, theirs)), "{row}");
        assert!(!why.trim().is_empty(), "no explanation: {row}");
        ((id.to_owned(), grader.to_owned()), ours == "right")
    });
    rows.collect()
}

#[test]
fn verdicts_match_harness_except_listed() {
    let theirs: Value = serde_json::from_str(VERDICTS).unwrap();
    let mut listed = listed();
    assert!(listed.len() <= 5);
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    let (mut outputs, mut differ) = (0, Vec::new());
    for line in OUTPUTS.lines() {
        outputs += 1;
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap();
        let (id, output) = (text("id"), text("output"));
        for (grader, benchmark, rule) in GRADERS {
            let Some(their) = theirs["verdicts"][id][grader].as_bool() else {
                continue;
            };
            assert_eq!(benchmark.name(), text("benchmark"));
            counts.entry(grader).or_default()[usize::from(their)] += 1;
            let gold = gold(benchmark, text("solution")).unwrap();
            let verdict = grade(benchmark, rule, output, &gold);
            let listed = listed.remove(&(id.to_owned(), grader.to_owned()));
            let expected = listed.unwrap_or(their);
            if verdict.correct != expected || listed == Some(their) {
                differ.push(format!(
                    "{id} {grader}: {verdict:?}, gold {gold:?}, {output:?}"
                ));
            }
        }
    }
    println!("{outputs} outputs; wrong and right by grader: {counts:?}");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(listed.is_empty(), "the harness says nothing of {listed:?}");
    assert_eq!(outputs, 461);
    assert_eq!(counts.len(), GRADERS.len());
    for (grader, [wrong, right]) in counts {
        assert!(wrong >= 15 && right >= 5, "{grader}");
    }
}

/// Without a number or box, the harness's grader finds nothing, and neither does the rule.
#[test]
fn answers_missing_in_harness_stay_missing() {
    let theirs: Value = serde_json::from_str(VERDICTS).unwrap();
    for line in OUTPUTS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap();
        if theirs["verdicts"][text("id")].get("strict") == Some(&Value::Null) {
            let verdict = grade(Benchmark::Gsm8k, Rule::StrictMatch, text("output"), "1");
            assert_eq!(verdict.answer, None, "{}", text("id"));
        }
    }
}
