//! Numbers in prose.

use std::ops::Range;

use super::rational::Rational;
use super::statement::{CURRENCY, compares, denies};
use super::{LONGEST_ANSWER, magnitude};

/// Groups of three digits after which a row of them is a list.
const MOST_GROUPS: usize = 30;

/// A number in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    /// Where it stands, with its sign.
    pub(super) place: Range<usize>,
    value: Value,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Exact(Rational),
    /// A decimal too long for that, with its sign, without zeros that change nothing.
    Digits(String),
}

/// The numbers of a text, in order: `1,234.50`, `-3`, `.5`, `3/4`, `1 1/2`, `\frac{3}{4}`.
///
/// A minus is a sign where nothing stands right before it that could be subtracted from. `3/4` is
/// no number where `=` follows, for then it is being worked out. `2 million` and `2k` are numbers.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = Number> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        let number = next(text, from)?;
        from = number.place.end;
        Some(number)
    })
}

/// The value of a text with one number; units may follow, also `cm^2`. `not 18` and `18 or more`
/// are no number.
pub(super) fn only(text: &str) -> Option<Value> {
    if text.len() > LONGEST_ANSWER {
        return None;
    }
    let number = next(text, 0)?;
    let mut rest = text[number.place.end..].to_owned();
    for power in ["^2", "^3", "^{2}", "^{3}"] {
        rest = rest.replace(power, "");
    }
    let alone = !rest.contains(|c: char| c.is_ascii_digit());
    let nothing_before = !text[..number.place.start].contains(|c: char| c.is_ascii_digit());
    let before = &text[..number.place.start];
    let denied = before.split_whitespace().any(denies);
    (alone && nothing_before && !denied && !compares(&rest)).then_some(number.value)
}

fn next(text: &str, from: usize) -> Option<Number> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        let point = bytes[at] == b'.' && (at == 0 || !bytes[at - 1].is_ascii_digit());
        let found = if digit(bytes, at) || (point && digit(bytes, at + 1)) {
            Some(decimal(bytes, at))
        } else {
            fraction_command(bytes, at).map(|(value, end)| (Some(Value::Exact(value)), end))
        };
        match found {
            Some((Some(value), end)) => {
                let (factor, end) = thousands(text, end);
                let Some(value) = value.times(factor) else {
                    at = end;
                    continue;
                };
                let (start, negative) = signed(text, from, at);
                let value = if negative { value.negated() } else { value };
                return Some(Number {
                    place: start..end,
                    value,
                });
            }
            // Too long, or a division by 0.
            Some((None, end)) => at = end,
            None => at += 1,
        }
    }
    None
}

impl Value {
    fn times(self, factor: i64) -> Option<Self> {
        match self {
            Self::Exact(value) => value.times(Rational::integer(factor)).map(Self::Exact),
            Self::Digits(_) => (factor == 1).then_some(self),
        }
    }

    fn negated(self) -> Self {
        match self {
            Self::Exact(value) => Self::Exact(value.negated()),
            Self::Digits(digits) => Self::Digits(format!("-{digits}")),
        }
    }
}

/// The factor that a word such as `million`, or `k`, after a number is, and where it ends.
fn thousands(text: &str, end: usize) -> (i64, usize) {
    let rest = &text[end..];
    let mut word = rest.trim_start_matches([' ', '~', '-']);
    word = word.strip_prefix("\\text{").unwrap_or(word).trim_start();
    let length = word.find(|c: char| !c.is_alphabetic());
    let letters = &word[..length.unwrap_or(word.len())];
    let after = text.len() - word.len() + letters.len();
    let more = word[letters.len()..].starts_with(|c: char| c.is_ascii_digit());
    match magnitude::of(letters, word.len() == rest.len()) {
        Some(factor) if !more => (factor, after),
        _ => (1, end),
    }
}

/// The number without a sign that begins at `start`, and its end.
fn decimal(bytes: &[u8], start: usize) -> (Option<Value>, usize) {
    let (mut digits, mut end) = whole(bytes, start);
    if bytes.get(end) == Some(&b'.') && digit(bytes, end + 1) {
        let last = run(bytes, end + 1);
        digits.push('.');
        digits.extend(bytes[end + 1..last].iter().map(|&b| char::from(b)));
        end = last;
    }
    if end - start > LONGEST_ANSWER {
        return (None, end);
    }
    let Some(value) = Rational::decimal(&digits) else {
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        return (Some(Value::Digits(format!("{whole}.{fraction}"))), end);
    };
    if let Some(numerator) = value.as_integer() {
        let in_row = start > 0 && bytes[start - 1] == b'/';
        if !in_row && let Some((fraction, after)) = slash(bytes, end, numerator) {
            return (fraction.map(Value::Exact), after);
        }
        if let Some((fraction, after)) = mixed(bytes, end)
            && let Some(sum) = value.plus(fraction)
        {
            return (Some(Value::Exact(sum)), after);
        }
    }
    (Some(Value::Exact(value)), end)
}

/// The digits of a whole number, over separators of thousands, and its end.
fn whole(bytes: &[u8], start: usize) -> (String, usize) {
    let first = run(bytes, start);
    let text = |from: usize, to: usize| bytes[from..to].iter().map(|&b| char::from(b));
    let mut digits: String = text(start, first).collect();
    if first - start > 3 || bytes.get(start) == Some(&b'0') {
        return (digits, first);
    }
    let (mut end, mut groups) = (first, 0);
    let separators: [&[u8]; 3] = [b"{,}", b",\\!", b","];
    while let Some(separator) = separators.iter().find(|s| bytes[end..].starts_with(s)) {
        let group = end + separator.len();
        if run(bytes, group) != group + 3 {
            break;
        }
        digits.extend(text(group, group + 3));
        end = group + 3;
        groups += 1;
        if groups > MOST_GROUPS {
            break;
        }
    }
    if bytes.get(end) == Some(&b',') && digit(bytes, end + 1) {
        // A list, not groups of three.
        return (text(start, first).collect(), first);
    }
    (digits, end)
}

/// A fraction whose numerator ends at `at`, and its end. The fraction is `None` for 1/0.
fn slash(bytes: &[u8], at: usize, numerator: i128) -> Option<(Option<Rational>, usize)> {
    if bytes.get(at) != Some(&b'/') || !digit(bytes, at + 1) {
        return None;
    }
    let end = run(bytes, at + 1);
    let decimal = bytes.get(end) == Some(&b'.') && digit(bytes, end + 1);
    let more = bytes.get(end) == Some(&b'/');
    let blanks = bytes[end..].iter().take_while(|b| **b == b' ').count();
    if decimal || more || bytes.get(end + blanks) == Some(&b'=') {
        return None;
    }
    Some((Rational::new(numerator, number(bytes, at + 1, end)?), end))
}

/// The fraction below 1 after a whole number that ends at `at`, and its end.
fn mixed(bytes: &[u8], at: usize) -> Option<(Rational, usize)> {
    let start = at + usize::from(bytes.get(at) == Some(&b' '));
    let (fraction, end) = match fraction_command(bytes, start) {
        Some(found) => found,
        None if start > at && digit(bytes, start) => {
            let end = run(bytes, start);
            let (fraction, end) = slash(bytes, end, number(bytes, start, end)?)?;
            (fraction?, end)
        }
        None => return None,
    };
    let proper = fraction.numerator() < fraction.denominator() && !fraction.is_zero();
    proper.then_some((fraction, end))
}

/// `\frac{3}{4}` at a place, and its end.
fn fraction_command(bytes: &[u8], at: usize) -> Option<(Rational, usize)> {
    let rest = bytes.get(at..)?.strip_prefix(b"\\")?;
    let names: [&[u8]; 3] = [b"frac{", b"dfrac{", b"tfrac{"];
    let name = names.into_iter().find(|name| rest.starts_with(name))?;
    let numerator = at + 1 + name.len();
    let middle = run(bytes, numerator);
    let denominator = middle + b"}{".len();
    if !bytes[middle..].starts_with(b"}{") {
        return None;
    }
    let end = run(bytes, denominator);
    let value = Rational::new(
        number(bytes, numerator, middle)?,
        number(bytes, denominator, end)?,
    )?;
    (bytes.get(end) == Some(&b'}')).then_some((value, end + 1))
}

/// Where the number at `at` begins with its sign, not before `from`, and whether it is negative.
fn signed(text: &str, from: usize, at: usize) -> (usize, bool) {
    let before = text[from..at]
        .trim_end_matches(CURRENCY)
        .trim_end_matches('\\');
    let Some(rest) = before.strip_suffix(['-', '−']) else {
        return (at, false);
    };
    let last = text[..from + rest.len()].chars().next_back();
    let subtracts = last.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | '}' | '%' | '-'));
    match subtracts {
        true => (at, false),
        false => (from + rest.len(), true),
    }
}

fn number(bytes: &[u8], start: usize, end: usize) -> Option<i128> {
    std::str::from_utf8(&bytes[start..end]).ok()?.parse().ok()
}

fn run(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    while digit(bytes, end) {
        end += 1;
    }
    end
}

fn digit(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests;
