//! Rules that find the answer in an output.

use crate::{Benchmark, boxed, latex, number, output};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Finds the answer in an output. Every rule works with either benchmark.
///
/// The source column names the graders that each rule reproduces.
///
/// | name | answer | source | output ends before |
/// |---|---|---|---|
/// | `boxed` | in the last `\boxed{}` or `\fbox{}`, else after the last "answer is" | MATH's authors | `Problem:`, `</s>`, `<\|im_end\|>` |
/// | `hendrycks-math` | between the first and the last `$`, else the whole output | lm-evaluation-harness, task `hendrycks_math` | the same |
/// | `strict-match` | the number after the first `#### ` | lm-evaluation-harness, task `gsm8k` | `Question:`, `</s>`, `<\|im_end\|>` |
/// | `flexible-extract` | the last number | lm-evaluation-harness, task `gsm8k` | the same |
/// | `metamath` | after the last `The answer is: `; for GSM8K the number there, rounded | MetaMath's own scripts (Yu et al. 2023) | `Question`, `Instruction`, `Response`, `USER`, `ASSISTANT` |
///
/// `boxed` is the default for MATH, because models write a box, "The answer is", or both.
/// `flexible-extract` is the default for GSM8K. It is the only rule here that reads both `#### 72`, the end
/// of GSM8K's solutions, and `The answer is: 72`, the end of MetaMathQA's. `metamath` reproduces the tables
/// of MetaMath and of work that compares with it.
///
/// `strict-match` and `flexible-extract` also read LaTeX's thousands separators, `9\,500` and `9{,}500`,
/// which the harness reads as two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The last box, or else the text after "answer is".
    Boxed,
    /// The text between the first and the last dollar sign.
    HendrycksMath,
    /// The number after the first `#### `.
    StrictMatch,
    /// The last number.
    FlexibleExtract,
    /// The text after `The answer is: `.
    Metamath,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 5] = [
        Self::Boxed,
        Self::HendrycksMath,
        Self::StrictMatch,
        Self::FlexibleExtract,
        Self::Metamath,
    ];

    /// Names of all rules.
    pub const NAMES: [&'static str; 5] = [
        "boxed",
        "hendrycks-math",
        "strict-match",
        "flexible-extract",
        "metamath",
    ];

    /// Returns the name, such as `strict-match`.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Returns the texts at which the rule's source stops generation.
    pub(crate) fn stops(self) -> &'static [&'static str] {
        match self {
            Self::Boxed | Self::HendrycksMath => &["Problem:", "</s>", "<|im_end|>"],
            Self::StrictMatch | Self::FlexibleExtract => &["Question:", "</s>", "<|im_end|>"],
            Self::Metamath => &["Question", "Instruction", "Response", "USER", "ASSISTANT"],
        }
    }

    /// Returns the answer in an output that is already cut.
    pub(crate) fn find(self, benchmark: Benchmark, output: &str) -> Option<String> {
        let text = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
        match (self, benchmark) {
            (Self::Boxed, _) => text(boxed::last(output).or_else(|| output::answer_is(output))),
            (Self::HendrycksMath, _) => text(Some(latex::between_dollars(output))),
            (Self::StrictMatch, _) => number::after_hashes(output),
            (Self::FlexibleExtract, _) => number::last(output),
            (Self::Metamath, Benchmark::Math) => text(output::metamath(output)),
            (Self::Metamath, Benchmark::Gsm8k) => number::rounded(output::metamath(output)?),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|rule| rule.name() == name);
        found.ok_or_else(|| {
            let names = Self::NAMES.join(", ");
            format!("unknown rule '{name}'; choose from {names}")
        })
    }
}
