//! Numbers in GSM8K's answers.

use crate::regex;
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Returns the number after the first `#### `.
pub(crate) fn after_hashes(output: &str) -> Option<String> {
    static HASHES: LazyLock<Regex> = LazyLock::new(|| regex(r"#### (-?[0-9.,]+)"));
    let output = without_separators(output);
    Some(HASHES.captures(&output)?[1].to_owned())
}

/// Returns the last number, or text that looks like one, such as `$.`.
pub(crate) fn last(output: &str) -> Option<String> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"-?[$0-9.,]{2,}|-?[0-9]+"));
    let output = without_separators(output);
    Some(NUMBER.find_iter(&output).last()?.as_str().to_owned())
}

/// Returns the first number, or the ratio of two integers, rounded to an integer, half to even. A number
/// ends at its second comma: `1,234,567` gives 1234.
pub(crate) fn rounded(answer: &str) -> Option<String> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"[-+]?\d*[.,/]?\d+"));
    let found = NUMBER.find(answer)?.as_str().replace(',', "");
    let value: f64 = match found.split_once('/') {
        Some((numerator, "0")) => numerator.parse().ok()?,
        Some((numerator, denominator)) => {
            numerator.parse::<f64>().ok()? / denominator.parse::<f64>().ok()?
        }
        None => found.parse().ok()?,
    };
    // Adding 0.0 turns -0 into 0.
    let value = value.round_ties_even() + 0.0;
    value.is_finite().then(|| format!("{value:.0}"))
}

/// Returns the form for comparison.
pub(crate) fn normal(answer: &str) -> String {
    let answer = answer.replace([',', '$'], "");
    answer.strip_suffix('.').unwrap_or(&answer).to_lowercase()
}

/// Removes LaTeX's thousands separators from the numbers in a text.
fn without_separators(text: &str) -> Cow<'_, str> {
    static GROUPED: LazyLock<Regex> =
        LazyLock::new(|| regex(r"[0-9]{1,3}(?:(?:\\[,!:; ]|\{,\}|\{\\,\}|,\\!)[0-9]{3})+"));
    GROUPED.replace_all(text, |number: &Captures<'_>| {
        number[0].replace(|c: char| !c.is_ascii_digit(), "")
    })
}
