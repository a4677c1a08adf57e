//! Grades a model's output on a problem of GSM8K or MATH, by the rules behind published tables.
//!
//! A [`Rule`] finds the answer in an output. The [`Benchmark`] decides when two answers are equal: see
//! [`same`]. The verdicts equal those of lm-evaluation-harness (tasks `gsm8k` and `hendrycks_math`), except
//! for `tests/fixtures/grading/disagreements.tsv`.
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
//! All functions accept any text, never panic, and take time proportional to its length.

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

    /// Returns the default rule. Both defaults read the end of MetaMathQA's rows, `The answer is: 72`, and
    /// the end of the benchmark's own solutions.
    pub fn default_rule(self) -> Rule {
        match self {
            Self::Gsm8k => Rule::FlexibleExtract,
            Self::Math => Rule::Boxed,
        }
    }
}

/// The verdict of a rule on an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The answer as written in the output; `None` if the rule finds none.
    pub answer: Option<String>,
    /// Whether it equals the gold answer.
    pub correct: bool,
}

/// Grades an output against the gold answer, which [`gold`] reads from a solution.
///
/// Text within `<think>…</think>` is ignored, and so is text after an unclosed `<think>`. The rest is cut
/// where the rule's source stops generation ([`Rule`] lists the texts).
pub fn grade(benchmark: Benchmark, rule: Rule, output: &str, gold: &str) -> Verdict {
    let output = output::without_thoughts(output);
    let answer = rule.find(benchmark, output::before_stop(&output, rule.stops()));
    Verdict {
        correct: answer.as_ref().is_some_and(|a| same(benchmark, a, gold)),
        answer,
    }
}

/// Returns the answer of a dataset's solution: for GSM8K the text after the last `####`, for MATH the
/// content of the last box. `None` without an answer, or for GSM8K if it has no digit.
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

/// Returns whether two answers are equal as text in a normal form.
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
