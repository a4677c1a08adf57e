//! The gold answers of GSM8K and MATH, if the project's assets are present.

#![allow(clippy::unwrap_used)]

use bone_grade::{Benchmark, Rule, gold, grade, same};
use std::path::{Path, PathBuf};

fn datasets() -> Option<PathBuf> {
    let assets = match std::env::var_os("BONE_ASSETS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets"),
    };
    let folder = assets.join("datasets");
    if !folder.is_dir() {
        println!("skipped: assets not found");
        return None;
    }
    Some(folder)
}

/// Returns a field of every row.
fn field(path: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| !line.trim().is_empty());
    rows.map(|row| {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        row[name].as_str().unwrap().to_owned()
    })
    .collect()
}

fn right(benchmark: Benchmark, rule: Rule, output: &str, gold: &str) {
    let verdict = grade(benchmark, rule, output, gold);
    assert!(verdict.correct, "{rule}: {verdict:?}, {gold:?}, {output:?}");
}

#[test]
fn every_gsm8k_solution_is_right() {
    let Some(folder) = datasets() else { return };
    let mut solutions = field(&folder.join("gsm8k/train.jsonl"), "answer");
    solutions.extend(field(&folder.join("gsm8k/test.jsonl"), "answer"));
    assert_eq!(solutions.len(), 7473 + 1319);
    let mut different = 0;
    for (at, solution) in solutions.iter().enumerate() {
        let own = gold(Benchmark::Gsm8k, solution).unwrap();
        right(Benchmark::Gsm8k, Rule::StrictMatch, solution, &own);
        right(Benchmark::Gsm8k, Rule::FlexibleExtract, solution, &own);
        // The rounded number ends at its second comma.
        let stated = format!("The answer is: {}", own.replace(',', ""));
        right(Benchmark::Gsm8k, Rule::Metamath, &stated, &own);
        right(Benchmark::Gsm8k, Rule::FlexibleExtract, &stated, &own);
        let other = gold(Benchmark::Gsm8k, &solutions[(at + 1) % solutions.len()]).unwrap();
        let equal = own.replace(',', "") == other.replace(',', "");
        assert_eq!(
            same(Benchmark::Gsm8k, &other, &own),
            equal,
            "{other}, {own}"
        );
        different += usize::from(!equal);
    }
    assert!(different > 8000);
}

#[test]
fn every_math_solution_is_right() {
    let Some(folder) = datasets() else { return };
    let solutions = field(&folder.join("math/test.jsonl"), "solution");
    assert_eq!(solutions.len(), 5000);
    let mut unusual = 0;
    for solution in &solutions {
        let own = gold(Benchmark::Math, solution).unwrap();
        assert!(same(Benchmark::Math, &own, &own), "{own}");
        right(Benchmark::Math, Rule::Boxed, solution, &own);
        right(
            Benchmark::Math,
            Rule::HendrycksMath,
            &format!("It is ${own}$."),
            &own,
        );
        // The answer ends at a sentence or a line: 2 gold answers.
        if own.ends_with('.') || own.contains('\n') {
            unusual += 1;
            continue;
        }
        for rule in [Rule::Boxed, Rule::Metamath] {
            right(
                Benchmark::Math,
                rule,
                &format!("So it is.\nThe answer is: {own}"),
                &own,
            );
        }
        right(
            Benchmark::Math,
            Rule::Boxed,
            &format!("The answer is ${own}$. It fits."),
            &own,
        );
    }
    assert_eq!(unusual, 2);
}
