//! Any text can be graded, and in a short time.

#![allow(clippy::unwrap_used)]

use bone_grade::{Benchmark, Rule, gold, grade, same};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const BOTH: [Benchmark; 2] = [Benchmark::Gsm8k, Benchmark::Math];

/// Pieces of answers and outputs, complete and broken.
const PIECES: [&str; 44] = [
    "1",
    "12",
    "000",
    "1,000",
    ".5",
    "1/2",
    "x",
    " ",
    "\n",
    ",",
    ".",
    "-",
    "/",
    "=",
    "{",
    "}",
    "\\",
    "$",
    "\\$",
    "\\%",
    "\\!",
    "\\,",
    "{,}",
    "\\frac",
    "\\dfrac12",
    "\\frac{1}{2}",
    "\\sqrt",
    "\\left",
    "\\text{ ",
    "^\\circ",
    "\\boxed",
    "\\boxed{",
    "\\boxed ",
    "\\fbox{",
    "#### ",
    "The answer is: ",
    "answer is ",
    "<think>",
    "</think>",
    "Question:",
    "Problem:",
    "</s>",
    "é",
    "١",
];

fn grade_all(text: &str) {
    for benchmark in BOTH {
        let gold = gold(benchmark, text);
        for rule in Rule::ALL {
            let verdict = grade(benchmark, rule, text, gold.as_deref().unwrap_or(text));
            assert!(verdict.answer.is_some() || !verdict.correct);
        }
        assert!(same(benchmark, text, text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_has_a_verdict(text in any::<String>()) {
        grade_all(&text);
    }

    #[test]
    fn any_pieces_have_a_verdict(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
    ) {
        grade_all(&pieces.concat());
    }
}

/// The time is proportional to the length: a quadratic pass over these takes minutes.
#[test]
fn long_text_is_graded_in_linear_time() {
    for piece in PIECES {
        let text = piece.repeat(400_000 / piece.len());
        let started = Instant::now();
        grade_all(&text);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(20), "{piece:?}: {took:?}");
    }
}
