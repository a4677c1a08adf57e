//! Grades lines of JSON from standard input, for `tests/reference/check_grading.py`.
//!
//! A line is `{"benchmark", "rule", "output", "solution"}`, or `{"benchmark", "given", "gold"}` for a
//! direct comparison. The answer is a line with `true` or `false`.

use bone_grade::{Benchmark, Rule, gold, grade, same};
use serde::Deserialize;
use std::io::{BufWriter, Write};

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Output {
        benchmark: Benchmark,
        rule: Rule,
        output: String,
        solution: String,
    },
    Pair {
        benchmark: Benchmark,
        given: String,
        gold: String,
    },
}

impl Line {
    fn correct(&self) -> bool {
        match self {
            Self::Output {
                benchmark,
                rule,
                output,
                solution,
            } => gold(*benchmark, solution)
                .is_some_and(|gold| grade(*benchmark, *rule, output, &gold).correct),
            Self::Pair {
                benchmark,
                given,
                gold,
            } => same(*benchmark, given, gold),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        writeln!(out, "{}", line.correct())?;
    }
    out.flush()?;
    Ok(())
}
