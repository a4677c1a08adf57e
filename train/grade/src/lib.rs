//! Whether a model's output answers a problem of GSM8K or MATH, by the rules that published tables
//! are made with.
//!
//! A [`Rule`] says where in an output the answer stands. The [`Benchmark`] says when two answers are
//! the same: see [`same`]. The verdicts equal those of lm-evaluation-harness (tasks `gsm8k` and
//! `hendrycks_math`), but for `tests/fixtures/grading/disagreements.tsv`.
//!
//! ```
//! use bone_grade::{Benchmark, Rule, gold, grade};
//!
//! let gold = gold(Benchmark::Math, r"It is $\boxed{\frac{1}{2}}$.").unwrap();
//! let verdict = grade(Benchmark::Math, Rule::Boxed, "The answer is: 1/2", &gold);
//! assert_eq!(verdict.answer.as_deref(), Some("1/2"));
//! assert!(verdict.correct);
//! ```
//!
//! All functions take any text, never panic, and take time in proportion to its length.

mod boxed;
mod latex;
mod number;
mod output;
mod rule;

pub use rule::Rule;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// Compiles a pattern of this crate.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("every pattern is a constant, and is compiled by a test")
}

/// A benchmark of problems with known answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Benchmark {
    /// GSM8K (Cobbe et al. 2021): an answer is a number.
    Gsm8k,
    /// MATH (Hendrycks et al. 2021): an answer is a formula or words, in LaTeX.
    Math,
}

impl Benchmark {
    /// Returns `gsm8k` or `math`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gsm8k => "gsm8k",
            Self::Math => "math",
        }
    }

    /// Returns an example of how a solution marks its answer.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Gsm8k => "#### 72",
            Self::Math => "\\boxed{72}",
        }
    }

    /// Returns the rule to use where none is named. Both defaults read what MetaMathQA's rows end
    /// with, `The answer is: 72`, and what the benchmark's own solutions end with.
    pub fn default_rule(self) -> Rule {
        match self {
            Self::Gsm8k => Rule::FlexibleExtract,
            Self::Math => Rule::Boxed,
        }
    }
}

/// What a rule says of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The answer as the output has it; `None` where the rule finds none.
    pub answer: Option<String>,
    /// Whether it is the same as the gold answer.
    pub correct: bool,
}

/// Grades an output against the gold answer, which [`gold`] reads from a solution.
///
/// Text within `<think>…</think>` is no answer, nor is text after a `<think>` that never closes.
/// The output then ends where the rule's source stops generation ([`Rule`] lists the texts).
pub fn grade(benchmark: Benchmark, rule: Rule, output: &str, gold: &str) -> Verdict {
    let output = output::without_thoughts(output);
    let answer = rule.find(benchmark, output::before_stop(&output, rule.stops()));
    Verdict {
        correct: answer.as_ref().is_some_and(|a| same(benchmark, a, gold)),
        answer,
    }
}

/// Returns the answer of a dataset's solution: for GSM8K what follows the last `####`, for MATH
/// what the last box holds. `None` where there is none; for GSM8K also where it has no digit.
pub fn gold(benchmark: Benchmark, solution: &str) -> Option<String> {
    let answer = match benchmark {
        Benchmark::Gsm8k => {
            let (_, answer) = solution.rsplit_once("####")?;
            answer
                .contains(|c: char| c.is_ascii_digit())
                .then(|| answer.trim())
        }
        Benchmark::Math => boxed::last(solution),
    };
    answer.map(str::to_owned)
}

/// Whether two answers are the same, as text in a normal form.
///
/// - **GSM8K**, as the task `gsm8k` of lm-evaluation-harness: without commas, dollar signs and a
///   full stop at the end. `1,072` is `1072`, but `72.0` is not `72`.
/// - **MATH**, as `is_equiv` of the MATH authors and of the task `hendrycks_math`: without spaces,
///   `\left`, `\right`, `\!`, degrees, dollar and per cent signs, a unit in `\text{ …}` and a name
///   of at most two characters with `=` before it. `\dfrac12`, `\frac{1}{2}`, `1/2` and `0.5` are
///   the same, and so are `\sqrt3` and `\sqrt{3}`, or `.7` and `0.7`. Values are not computed:
///   `\frac{2}{4}` is not `\frac{1}{2}`, and `2,1` is not `1,2`.
pub fn same(benchmark: Benchmark, given: &str, gold: &str) -> bool {
    match benchmark {
        Benchmark::Gsm8k => number::normal(given) == number::normal(gold),
        Benchmark::Math => latex::same(given, gold),
    }
}
