//! The normal form of MATH's answers, by the rules of the MATH authors.

use crate::regex;
use regex::Regex;
use std::sync::LazyLock;

/// Returns whether two answers have the same normal form. If one has no normal form, compares them
/// unchanged.
pub(crate) fn same(given: &str, gold: &str) -> bool {
    match (normal(given), normal(gold)) {
        (Some(given), Some(gold)) => given == gold,
        _ => given == gold,
    }
}

/// Returns the text between the first and the last dollar sign, or the whole text.
pub(crate) fn between_dollars(text: &str) -> &str {
    match (text.find('$'), text.rfind('$')) {
        (Some(first), Some(last)) if first < last => &text[first + 1..last],
        _ => text,
    }
}

/// Replacements before the removal of units, in this order.
const FIRST: [(&str, &str); 10] = [
    ("\n", ""),
    ("\\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    ("\\left", ""),
    ("\\right", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("\\$", ""),
];

/// Replacements after the removal of units.
const THEN: [(&str, &str); 3] = [("\\%", ""), (" .", " 0."), ("{.", "{0.")];

/// Returns the normal form. `None` where the authors' rules fail: two units, a root or a fraction at the
/// end, or a slash between anything except two integers.
fn normal(answer: &str) -> Option<String> {
    let text = replace(answer.to_owned(), &FIRST);
    let text = replace(without_unit(&text)?.to_owned(), &THEN);
    if text.is_empty() {
        return Some(text);
    }
    let text = if text.starts_with('.') {
        format!("0{text}")
    } else {
        text
    };
    let text = with_braced_roots(without_name(&text))?.replace(' ', "");
    let text = with_braced_fractions(&text)?;
    if text == "0.5" {
        return Some("\\frac{1}{2}".to_owned());
    }
    with_fraction_for_slash(text)
}

fn replace(text: String, pairs: &[(&str, &str)]) -> String {
    (pairs.iter()).fold(text, |text, (from, to)| text.replace(from, to))
}

/// Removes a unit, which begins with a space: `5\text{ cm}`.
fn without_unit(text: &str) -> Option<&str> {
    match text.split_once("\\text{ ") {
        Some((_, unit)) if unit.contains("\\text{ ") => None,
        Some((number, _)) => Some(number),
        None => Some(text),
    }
}

/// Removes a name: `x = 5` becomes `5`.
fn without_name(text: &str) -> &str {
    match text.split_once('=') {
        Some((name, value)) if !value.contains('=') && name.chars().count() <= 2 => value,
        _ => text,
    }
}

/// `\sqrt3` becomes `\sqrt{3}`.
fn with_braced_roots(text: &str) -> Option<String> {
    let mut pieces = text.split("\\sqrt");
    let mut braced = pieces.next()?.to_owned();
    for piece in pieces {
        let mut rest = piece.chars();
        match rest.next()? {
            '{' => braced += &format!("\\sqrt{piece}"),
            radicand => braced += &format!("\\sqrt{{{radicand}}}{}", rest.as_str()),
        }
    }
    Some(braced)
}

/// `\frac12` becomes `\frac{1}{2}`, and `\frac1{72}` becomes `\frac{1}{72}`.
fn with_braced_fractions(text: &str) -> Option<String> {
    let mut pieces = text.split("\\frac");
    let mut braced = pieces.next()?.to_owned();
    for piece in pieces {
        let mut rest = piece.chars();
        let numerator = rest.next()?;
        if numerator == '{' {
            braced += &format!("\\frac{piece}");
            continue;
        }
        let after = rest.as_str();
        match rest.next() {
            None => return Some(text.to_owned()),
            Some('{') => braced += &format!("\\frac{{{numerator}}}{after}"),
            Some(denominator) => {
                let after = rest.as_str();
                braced += &format!("\\frac{{{numerator}}}{{{denominator}}}{after}");
            }
        }
    }
    Some(braced)
}

/// `1/2` becomes `\frac{1}{2}`, if both are integers in their usual form.
fn with_fraction_for_slash(text: String) -> Option<String> {
    // The formats that Python's `int` reads and writes.
    static READ: LazyLock<Regex> = LazyLock::new(|| regex(r"^\s*[-+]?\d+(?:_\d+)*\s*$"));
    static WRITTEN: LazyLock<Regex> = LazyLock::new(|| regex("^(?:0|-?[1-9][0-9]*)$"));
    match text.split_once('/') {
        Some((a, b)) if !b.contains('/') => {
            if !READ.is_match(a) || !READ.is_match(b) {
                return None;
            }
            let usual = WRITTEN.is_match(a) && WRITTEN.is_match(b);
            Some(if usual {
                format!("\\frac{{{a}}}{{{b}}}")
            } else {
                text
            })
        }
        _ => Some(text),
    }
}
