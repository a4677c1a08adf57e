//! Our verdicts beside those of lm-evaluation-harness, made by `tests/reference/grade_outputs.py`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::*;

const OUTPUTS: &str = include_str!("../../../../../../tests/fixtures/grading/outputs.jsonl");
const VERDICTS: &str = include_str!("../../../../../../tests/fixtures/grading/lm_eval.json");
const DISAGREEMENTS: &str =
    include_str!("../../../../../../tests/fixtures/grading/disagreements.tsv");

/// Our verdict on every output, by its id.
fn ours() -> BTreeMap<String, (bool, String)> {
    let mut verdicts = BTreeMap::new();
    for line in OUTPUTS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap();
        let benchmark = match text("benchmark") {
            "gsm8k" => Benchmark::Gsm8k,
            "math" => Benchmark::Math,
            other => panic!("benchmark '{other}'"),
        };
        let gold = gold(benchmark, text("solution")).unwrap();
        let given = extract(benchmark, text("output"));
        let right = (given.as_ref()).is_some_and(|given| same(benchmark, &given.text, &gold));
        let note = format!("{:?} for {gold:?} in {:?}", given, text("output"));
        let before = verdicts.insert(text("id").to_owned(), (right, note));
        assert!(before.is_none(), "{} twice", text("id"));
    }
    verdicts
}

/// The harness's verdicts, by id and grader; those that say nothing are left out.
fn theirs() -> BTreeMap<(String, String), bool> {
    let file: Value = serde_json::from_str(VERDICTS).unwrap();
    let mut verdicts = BTreeMap::new();
    for (id, graders) in file["verdicts"].as_object().unwrap() {
        for (grader, verdict) in graders.as_object().unwrap() {
            if let Some(verdict) = verdict.as_bool() {
                verdicts.insert((id.clone(), grader.clone()), verdict);
            }
        }
    }
    verdicts
}

/// Rows of `disagreements.tsv`: our verdict and theirs, by id and grader.
fn listed() -> BTreeMap<(String, String), (bool, bool)> {
    let verdict = |cell: &str| match cell {
        "right" => true,
        "wrong" => false,
        other => panic!("verdict '{other}'"),
    };
    let mut rows = BTreeMap::new();
    for (at, row) in DISAGREEMENTS.lines().enumerate().skip(1) {
        let cells: Vec<_> = row.split('\t').collect();
        let [id, grader, ours, theirs, why] = cells[..] else {
            panic!("line {}: not five cells", at + 1);
        };
        assert!(!why.trim().is_empty(), "line {}: no explanation", at + 1);
        let key = (id.to_owned(), grader.to_owned());
        let before = rows.insert(key, (verdict(ours), verdict(theirs)));
        assert!(before.is_none(), "line {}: twice", at + 1);
    }
    rows
}

#[test]
fn verdicts_are_those_of_the_harness_but_for_the_listed_ones() {
    let (ours, theirs, listed) = (ours(), theirs(), listed());
    let mut wrong = 0;
    for ((id, grader), &their) in &theirs {
        let (our, note) = &ours[id];
        let expected = listed.get(&(id.clone(), grader.clone()));
        let is_listed = expected == Some(&(*our, their));
        if (*our != their) != is_listed || expected.is_some() != is_listed {
            println!("{id}\t{grader}\tours {our}\ttheirs {their}\t{note}");
            wrong += 1;
        }
    }
    for key in listed.keys() {
        if !theirs.contains_key(key) {
            println!("{key:?} is listed, but the harness says nothing of it");
            wrong += 1;
        }
    }
    println!(
        "{} verdicts, {} disagreements listed",
        theirs.len(),
        listed.len()
    );
    assert_eq!(wrong, 0, "verdicts that differ, or are listed and don't");
}

#[test]
fn there_are_enough_outputs_of_every_kind() {
    let (ours, theirs) = (ours(), theirs());
    assert!(ours.len() >= 300, "{} outputs", ours.len());
    for benchmark in ["g", "m"] {
        let verdicts: Vec<bool> = (ours.iter())
            .filter(|(id, _)| id.starts_with(benchmark))
            .map(|(_, (right, _))| *right)
            .collect();
        assert!(verdicts.len() >= 150);
        let right = verdicts.iter().filter(|right| **right).count();
        assert!(right >= 50 && verdicts.len() - right >= 50, "{right} right");
    }
    let ids: BTreeSet<_> = theirs.keys().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), ours.len());
    for grader in [
        "strict",
        "flexible",
        "cot",
        "hendrycks",
        "minerva",
        "math_verify",
    ] {
        let verdicts = theirs.iter().filter(|((_, name), _)| name == grader);
        let (right, wrong): (Vec<_>, Vec<_>) = verdicts.partition(|(_, verdict)| **verdict);
        assert!(right.len() >= 15 && wrong.len() >= 5, "{grader}");
    }
}
