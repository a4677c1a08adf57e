//! Selecting the relevant part of an output.

use crate::{latex, regex};
use regex::Regex;
use std::sync::LazyLock;

/// Returns the output without thoughts. Removes `<think>…</think>`, all text before a `</think>` whose
/// `<think>` is in the prompt, and all text after an unclosed `<think>`.
pub(crate) fn without_thoughts(output: &str) -> String {
    static TAG: LazyLock<Regex> = LazyLock::new(|| regex("</?think>"));
    let mut kept = String::with_capacity(output.len());
    // Start of the next text outside thoughts.
    let mut outside = Some(0);
    for tag in TAG.find_iter(output) {
        outside = match (tag.as_str(), outside) {
            ("<think>", from) => {
                kept.push_str(&output[from.unwrap_or(tag.start())..tag.start()]);
                None
            }
            (_, from) => {
                if from.is_some() {
                    kept.clear();
                }
                Some(tag.end())
            }
        };
    }
    kept.push_str(&output[outside.unwrap_or(output.len())..]);
    kept
}

/// Returns the output up to the first of the stop texts.
pub(crate) fn before_stop<'a>(output: &'a str, stops: &[&str]) -> &'a str {
    let ends = stops.iter().filter_map(|stop| output.find(stop));
    &output[..ends.min().unwrap_or(output.len())]
}

/// Returns the text after the last "answer is": its sentence or line, or the formula in it. A matrix may
/// span several lines.
pub(crate) fn answer_is(output: &str) -> Option<&str> {
    static PHRASE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)\banswer is\b[:\s*]*"));
    static END: LazyLock<Regex> = LazyLock::new(|| regex(r"\.(?:\s|$)|\n"));
    let rest = &output[PHRASE.find_iter(output).last()?.end()..];
    let end = END.find_at(rest, rest.rfind("\\end{").unwrap_or(0));
    let sentence = &rest[..end.map_or(rest.len(), |end| end.start())];
    let around = |c: char| c.is_whitespace() || "$*".contains(c);
    let formula = latex::between_dollars(sentence).trim_matches(around);
    Some(formula.trim_end_matches('.'))
}

/// Returns the text after the last `The answer is: `, up to a full stop that ends a line.
pub(crate) fn metamath(output: &str) -> Option<&str> {
    let (_, rest) = output.rsplit_once("The answer is: ")?;
    let answer = rest.split(".\n").next().unwrap_or_default().trim();
    Some(answer.strip_suffix('.').unwrap_or(answer).trim())
}
