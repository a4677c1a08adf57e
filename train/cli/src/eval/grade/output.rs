//! The answer in an output.

use std::ops::Range;

use super::{Extracted, Found, LONGEST_ANSWER, boxed, number, statement};

/// What stands before an answer, in lower case.
const ANSWER_IS: [&str; 1] = ["answer is"];
const FINAL: [&str; 2] = ["final answer is", "final answer:"];
const ANY: [&str; 2] = ["answer is", "final answer:"];

/// So many of them are tried, from the end.
const MOST_PLACES: usize = 100;

/// Of a GSM8K output.
pub(super) fn gsm8k(output: &str) -> Option<Extracted> {
    let stated = |text| {
        after(text, &ANY, |rest, phrase| {
            let found = match phrase.starts_with("final") {
                true => Found::FinalAnswer,
                false => Found::AnswerIs,
            };
            Some((statement::stated(line(rest))?, found))
        })
    };
    let mut hashes = output.match_indices("####").take(MOST_PLACES);
    let hashes = hashes.find_map(|(at, mark)| {
        let rest = &output[at + mark.len()..];
        let number = number_at_once(line(rest))?;
        // What a solution says on the way to its `####` is not yet its answer.
        Some(stated(rest).unwrap_or((number, Found::Hashes)))
    });
    let boxed = || Some((statement::stated(boxed::last(output)?)?, Found::Box));
    let last = || {
        let places = number::numbers(output).map(|number| number.place);
        let said = |place: &Range<usize>| statement::denied(&output[..place.start]).is_none();
        let place = statement::ratio(output, places.filter(said).last()?);
        Some((&output[place], Found::LastNumber))
    };
    let (text, found) = (hashes.or_else(|| stated(output)))
        .or_else(boxed)
        .or_else(last)?;
    Some(Extracted {
        text: text.to_owned(),
        found,
    })
}

/// Of a MATH output.
pub(super) fn math(output: &str) -> Option<Extracted> {
    let boxed = boxed::last(output).map(|text| (text, Found::Box));
    let stated = || {
        after(output, &ANSWER_IS, |rest, phrase| {
            let is_final = phrase.starts_with("final");
            (!is_final).then(|| formula(rest)).flatten()
        })
        .map(|text| (text, Found::AnswerIs))
    };
    let last =
        || after(output, &FINAL, |rest, _| formula(rest)).map(|text| (text, Found::FinalAnswer));
    let (text, found) = boxed.or_else(stated).or_else(last)?;
    Some(Extracted {
        text: text.to_owned(),
        found,
    })
}

/// What `read` makes of the text after one of the phrases, of the last place where it makes
/// anything. `read` is also given the phrase, with the word `final` if that stands before it.
fn after<'a, T>(
    output: &'a str,
    phrases: &[&str],
    read: impl Fn(&'a str, &str) -> Option<T>,
) -> Option<T> {
    // In ASCII, so that places stay the same.
    let lower = output.to_ascii_lowercase();
    let mut places: Vec<(usize, usize)> = Vec::new();
    for phrase in phrases {
        places.extend(
            lower
                .match_indices(phrase)
                .map(|(at, _)| (at, at + phrase.len())),
        );
    }
    places.sort_unstable();
    places
        .into_iter()
        .rev()
        .take(MOST_PLACES)
        .find_map(|(start, end)| {
            let rest = &output[end..];
            if rest.starts_with(char::is_alphanumeric) {
                return None;
            }
            let before = lower[..start].trim_end();
            let phrase = match before.ends_with("final") {
                true => format!("final {}", &lower[start..end]),
                false => lower[start..end].to_owned(),
            };
            let rest = rest.trim_start_matches(['*', '_']);
            read(rest.strip_prefix(':').unwrap_or(rest), &phrase)
        })
}

/// The first line that isn't blank, as far as an answer may go.
fn line(text: &str) -> &str {
    let text = beginning(text.trim_start());
    text.split('\n').next().unwrap_or_default()
}

/// As much of a text as an answer may be long.
pub(super) fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_ANSWER)]
}

/// The number that a line begins with, unless it numbers a heading, as in `#### 1. First step`.
fn number_at_once(line: &str) -> Option<&str> {
    let first = number::numbers(line).next()?.place;
    let before = line[..first.start].trim_matches([' ', '$', '\\', '(', '*', ':']);
    let heading = line[first.end..]
        .strip_prefix(['.', ')', ':'])
        .is_some_and(|rest| rest.trim_start().starts_with(char::is_alphabetic));
    (before.is_empty() && !heading).then(|| statement::stated(line))?
}

/// The formula or the words that a text begins with: what stands between dollar signs, or a line up
/// to the end of its sentence.
fn formula(text: &str) -> Option<&str> {
    let line = whole_line(beginning(text.trim_start()));
    let dollars = dollars(line);
    let text = match dollars.as_slice() {
        [(open, inside), (close, after)] if only_words(&line[..*open], &line[*after..]) => {
            &line[*inside..*close]
        }
        [(open, _), .., (_, after)] if only_words(&line[..*open], &line[*after..]) => {
            &line[*open..*after]
        }
        _ => sentence(line),
    };
    let text = text.trim_matches(['*', '`', '"', ' ', '\t', '\r']);
    let text = text.trim_end_matches(['.', ' ', '*']);
    (!text.is_empty()).then_some(text)
}

/// Up to the end of a line that closes its formula, its environment and its braces, if there is one.
fn whole_line(text: &str) -> &str {
    let (mut dollar, mut open) = (0usize, 0usize);
    let mut start = 0;
    for part in text.split_inclusive('\n') {
        dollar += dollars(part).len();
        open += part.matches("\\begin").count() + part.matches('{').count();
        open = open.saturating_sub(part.matches("\\end").count() + part.matches('}').count());
        start += part.len();
        if dollar.is_multiple_of(2) && open == 0 {
            return text[..start].trim_end();
        }
    }
    text.split('\n').next().unwrap_or_default().trim_end()
}

/// Where the unescaped dollar signs begin and end; two together are one.
fn dollars(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'\\' => at + 2,
            b'$' if bytes.get(at + 1) == Some(&b'$') => {
                found.push((at, at + 2));
                at + 2
            }
            b'$' => {
                found.push((at, at + 1));
                at + 1
            }
            _ => at + 1,
        };
        at = end;
    }
    found
}

/// Whether there are no numbers or formulas outside a formula.
fn only_words(before: &str, after: &str) -> bool {
    let sign = |c: char| c.is_ascii_digit() || "\\^_=+<>".contains(c);
    !before.contains(sign) && !sentence(after).contains(sign)
}

/// Up to a full stop that another sentence follows.
fn sentence(text: &str) -> &str {
    let end = text.match_indices(". ").find(|(at, _)| {
        let next = text[at + 2..].trim_start().chars().next();
        next.is_some_and(|c| c.is_uppercase())
    });
    end.map_or(text, |(at, _)| &text[..at])
}
