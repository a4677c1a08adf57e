//! Whether a model's output answers a problem of GSM8K or MATH.
//!
//! [`extract`] finds the answer an output gives, [`gold`] the one a dataset's solution gives, and
//! [`same`] compares the two. All three are total: any text is an answer or none, and none takes
//! long. An answer is at most [`LONGEST_ANSWER`] bytes; what is longer is passed over.

mod algebra;
mod answer;
mod boxed;
mod expression;
mod magnitude;
mod number;
mod output;
mod rational;
mod run_on;
mod statement;
mod tokens;

#[cfg(test)]
mod tests;

/// The longest answer that is looked at, in bytes.
pub const LONGEST_ANSWER: usize = 4096;

/// Whose answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Benchmark {
    /// GSM8K: one number.
    Gsm8k,
    /// MATH: numbers, formulas, points, intervals, matrices, words, in LaTeX.
    Math,
}

/// An answer in a model's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// As the model wrote it, without what stands around it.
    pub text: String,
    /// By what it was recognised.
    pub found: Found,
}

/// By what an answer was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// After "The answer is", as MetaMathQA's rows end.
    AnswerIs,
    /// After "The final answer is", as Minerva's examples end.
    FinalAnswer,
    /// After `####`, as GSM8K's solutions end.
    Hashes,
    /// In `\boxed{..}` or `\fbox{..}`.
    Box,
    /// The last number of a GSM8K output that has none of these.
    LastNumber,
}

/// The answer a model's output gives, and by what it was found. `None` where it gives none.
///
/// What follows a line that asks the next question (`Question:`, `Q:`, `Problem:`,
/// `### Instruction:` and the like) or an end token is not the model's answer and is left out.
///
/// GSM8K, the first of these that has a number:
/// 1. the first `####` with a number right after it, or what comes under 2 after that;
/// 2. the last "the answer is", "the final answer is" or "final answer:";
/// 3. the last box;
/// 4. the last number that doesn't come after `not`.
///
/// Under 1 to 3 the result of an equation counts, `18` of `9 eggs * $2 = $18`: the last side if it
/// is one number, else the first. `9 * 2`, `18 or 20`, `18, 20`, `18-20`, `2:1`, `18 or more` and
/// `not 18` are taken whole, and are the same as no number.
///
/// MATH:
/// 1. the last box that is closed and not empty, also `\boxed 5`;
/// 2. the last "the answer is";
/// 3. the last "the final answer is" or "final answer:".
///
/// A formula between dollar signs is the answer without the words around it.
pub fn extract(benchmark: Benchmark, output: &str) -> Option<Extracted> {
    let output = run_on::before_next_question(output);
    match benchmark {
        Benchmark::Gsm8k => output::gsm8k(output),
        Benchmark::Math => output::math(output),
    }
}

/// The answer of a dataset's solution: GSM8K's number after the last `####`, MATH's last box.
/// `None` where there is none, which is a fault of the dataset.
pub fn gold(benchmark: Benchmark, solution: &str) -> Option<String> {
    match benchmark {
        Benchmark::Gsm8k => {
            let (_, answer) = solution.rsplit_once("####")?;
            number::only(answer).map(|_| answer.trim().to_owned())
        }
        Benchmark::Math => boxed::last(solution).map(str::to_owned),
    }
}

/// Whether two answers are the same. An empty one is the same as none.
///
/// **GSM8K.** The numbers are compared exactly, as decimals or fractions of any length. Separators
/// of thousands, currency, per cent signs and units are ignored: `$1,234.50` is `1234.5`. `2 million`
/// and `2k` are what they say, but a dozen is a unit. Text with two numbers, `not 18` and `18 or more`
/// are no answer.
///
/// **MATH.** What a formula's value can be seen to be is compared exactly, and where there is none
/// to be seen the LaTeX, in one form for all ways to write the same. Recognised are
/// - fractions in every form, decimals, repeating decimals, mixed numbers: `0.5`, `.5`, `1/2`,
///   `\frac12`, `{1\over 2}` and `\frac{2}{4}` are equal, and `0.333` is not `\frac{1}{3}`; powers,
///   factorials and binomial coefficients; `5\text{ million}`;
/// - roots of rational numbers, `i` and `\pi`: `\sqrt{8}` is `2\sqrt{2}`, `\frac{1}{\sqrt{3}}` is
///   `\frac{\sqrt{3}}{3}`, and `\sqrt[3]{16}` is `2\sqrt[3]{2}`;
/// - absolute values of rational numbers and of products of roots and `\pi`; others up to a sign:
///   `|x-1|` is `|1-x|`;
/// - the order of terms and factors, like terms, and a number times a bracket: `2(x+1)` is `2+2x`.
///   Products of brackets are not multiplied out, so that a polynomial is not its factors;
/// - separators of thousands by groups of three digits. `1,000` is a number, `1,2` and `1, 000` are
///   lists. `70,110` may be either and is the same as both `70110` and `70, 110`; between brackets
///   it is two;
/// - lists without brackets and sets, in any order; tuples, points and intervals in theirs, with
///   their brackets; unions in any order; matrices by entry, whatever brackets they have, but a
///   determinant is no matrix; `\pm` as two answers;
/// - equations up to a factor of both sides, `y = 2x` and `2x - y = 0`; inequalities read from
///   either side;
/// - names before an answer: `x = 5`, `f(x) = 5`, `x \in [0,1]` and `(x,y) = (1,2)` are what
///   follows. An equation such as `y = 2x` is also `2x`. Of `x = 10/2 = 5` the last value counts.
///   `x_1 = 1, x_2 = 2` is the list `1, 2`, so too with `y`, `z` and `t`, and `x = 1, y = -2` is the
///   point `(1,-2)`, whose coordinates stand in the order of the letters;
/// - choices, `\text{(A)}`, `(A)` and `A`; words, whose case matters only outside `\text{..}`.
///
/// Not compared, as is usual: units and other words after a formula, in brackets or not, degrees,
/// currency and per cent: `5\%` is `5`. But what changes a number is compared: `a.m.`, `p.m.`,
/// `halves`, `squared`, `factorial`, `or more`, `percent less`, numbers in words and the like, and
/// also `dozen`, and capitals such as `K`, which may be a unit or a thousand. Fonts, sizes, colours,
/// underlines and spaces don't count.
///
/// Not recognised as equal, though they are:
/// - values of functions (`\sin 30^\circ` and `0.5`);
/// - roots in roots, roots of different degrees in one product, roots of variables of a degree above
///   2, sums of three roots, or of any root above the second, below a fraction line, and absolute
///   values of sums of roots;
/// - an interval and its inequality, numerals and their value (`101_2` and `5`), a remainder with
///   its modulus and without (`3 \pmod 7`, and other ways to write that), numbers in words
///   (`5\text{ and a half}`, `5\text{ halves}`);
/// - whatever is ambiguous, as `1/2x`, unless written alike.
pub fn same(benchmark: Benchmark, given: &str, gold: &str) -> bool {
    let (given, gold) = (given.trim(), gold.trim());
    if given.len() > LONGEST_ANSWER || gold.len() > LONGEST_ANSWER {
        return false;
    }
    match benchmark {
        Benchmark::Gsm8k => {
            let (given, gold) = (number::only(given), number::only(gold));
            given.is_some() && given == gold
        }
        Benchmark::Math => answer::Read::of(given).same(&answer::Read::of(gold)),
    }
}
