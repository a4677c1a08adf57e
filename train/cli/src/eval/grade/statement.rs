//! The number that a line of a GSM8K output states.

use std::ops::Range;

use super::number;

/// Signs of currency.
pub(super) const CURRENCY: [char; 4] = ['$', '€', '£', '¥'];

/// Words of a unit between a number and a sign.
const MOST_WORDS: usize = 6;

/// Longer than `shouldn't` and the like, in bytes.
const LONGEST_DENIAL: usize = 16;

/// Words that go on with something else than a unit.
const NO_UNITS: [&str; 30] = [
    "a", "after", "an", "are", "as", "because", "before", "but", "for", "from", "given", "has",
    "have", "he", "if", "is", "it", "left", "she", "since", "so", "that", "then", "they", "was",
    "we", "when", "where", "which", "with",
];

/// What a number is compared with after `or`.
const COMPARISONS: [&str; 6] = ["more", "less", "fewer", "greater", "higher", "lower"];

/// Commands without a meaning of their own between the parts of an equation.
const LAYOUT: [&str; 15] = [
    "left",
    "right",
    "text",
    "textbf",
    "mathrm",
    "mathbf",
    "mbox",
    "frac",
    "dfrac",
    "tfrac",
    "sqrt",
    "quad",
    "qquad",
    "boxed",
    "displaystyle",
];

/// What stands between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Equals,
    Operator,
    /// `of` or brackets, which only work something out where `=` follows.
    Of,
    /// Either number is meant, or both: `18 or 20`, `2:1`.
    Or,
    /// The same where both numbers are all there is: `18, 20`.
    And,
}

/// The number that a line states: the first, if no other words than `x =` come before it, else the
/// only one. Of an equation it is the side that is one number, better the last than the first.
///
/// Of `18 + 2`, `18 or 20`, `2:1`, `18 or more` and `not 18` it is all of that, which is no number.
pub(super) fn stated(line: &str) -> Option<&str> {
    let mut numbers = number::numbers(line);
    let first = numbers.next()?.place;
    let before = line[..first.start].trim_end_matches([' ', '\\', '(', '[']);
    let before = before.trim_end_matches(CURRENCY);
    let before = before.strip_suffix("\\left").unwrap_or(before);
    if !before.contains(char::is_alphabetic) || before.ends_with(['=', '{']) {
        return Some(&line[whole(line, first)]);
    }
    if numbers.next().is_some() {
        return None;
    }
    let start = denied(before).unwrap_or(first.start);
    Some(&line[start..first.end])
}

/// Where a text ends with a word that says that what follows is not so.
pub(super) fn denied(before: &str) -> Option<usize> {
    let end = before.trim_end_matches([' ', '\\', '(', '*']);
    let end = end.trim_end_matches(CURRENCY).trim_end();
    // No more than the word, however long the text is.
    let from = end.floor_char_boundary(end.len().saturating_sub(LONGEST_DENIAL));
    let start = end[from..].rfind([' ', '\n', '.', ',', '*', '(', '$']);
    let start = start.map_or(from, |at| from + at + 1);
    denies(&end[start..].to_ascii_lowercase()).then_some(start)
}

/// Whether a word says that something is not so.
pub(super) fn denies(word: &str) -> bool {
    word.eq_ignore_ascii_case("not") || word.ends_with("n't") || word.ends_with("n’t")
}

/// The ratio that a number of the text ends, or the number.
pub(super) fn ratio(text: &str, place: Range<usize>) -> Range<usize> {
    let before = &text[..place.start];
    let Some(other) = before.strip_suffix(':') else {
        return place;
    };
    let digits = other.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    // As in `Week 3:18 pages`.
    let heading = digits
        .trim_end()
        .rsplit(|c: char| !c.is_alphabetic())
        .next();
    if digits.len() == other.len()
        || heading.is_some_and(|word| word.starts_with(char::is_uppercase))
    {
        return place;
    }
    digits.len()..place.end
}

/// The result of the equation that begins with the number at `first`, or all that belongs together.
fn whole(line: &str, first: Range<usize>) -> Range<usize> {
    let start = first.start;
    let mut end = first.end;
    // Each side's last number, and whether it is all of it.
    let mut sides = vec![(first, true)];
    let mut unsolved = false;
    let mut before_of = None;
    while let Some((sign, after)) = sign(line, end) {
        let Some(number) = number_at(line, after) else {
            break;
        };
        let list = matches!(sign, Sign::Or) || (sign == Sign::And && ends(line, number.end));
        end = number.end;
        match sign {
            _ if list => return start..end,
            Sign::And | Sign::Or => break,
            Sign::Equals => sides.push((number, true)),
            Sign::Operator | Sign::Of => {
                unsolved |= sign == Sign::Operator;
                if let Some(side) = sides.last_mut() {
                    before_of = (sign == Sign::Of).then(|| side.clone());
                    *side = (number, false);
                }
                continue;
            }
        }
        before_of = None;
    }
    if let (Some(side), Some(last)) = (before_of, sides.last_mut()) {
        // As in `4 packs of 10`.
        *last = side;
    }
    let (Some((last, alone)), Some((first, first_alone))) = (sides.last(), sides.first()) else {
        return start..end;
    };
    match (sides.len(), alone) {
        (1, true) => start..or_more(line, last.end),
        (1, false) if unsolved => start..end,
        (_, true) => last.clone(),
        (_, false) if *first_alone => first.clone(),
        _ => start..end,
    }
}

/// The end after words such as `or more`.
fn or_more(line: &str, end: usize) -> usize {
    let mut words = line[end..].split_inclusive(|c: char| !c.is_alphabetic());
    let mut at = end;
    for _ in 0..MOST_WORDS + 2 {
        let Some(part) = words.next() else { break };
        at += part.len();
        if compares(&line[end..at]) {
            return at;
        }
    }
    end
}

/// Whether a text says `or more`.
pub(super) fn compares(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphabetic());
    let mut or = false;
    words.any(|word| {
        let lower = word.to_ascii_lowercase();
        let found = or && COMPARISONS.contains(&lower.as_str());
        or = lower == "or" || (or && lower.is_empty());
        found
    })
}

/// The number at a place, after brackets, spaces and currency.
fn number_at(line: &str, mut at: usize) -> Option<Range<usize>> {
    loop {
        let rest = &line[at..];
        if begins_number(rest)
            && let Some(number) = number::numbers(rest).next()
            && rest[..number.place.start]
                .chars()
                .all(|c| CURRENCY.contains(&c))
        {
            return Some(at + number.place.start..at + number.place.end);
        }
        at += layout(rest).or_else(|| name(rest))?;
    }
}

/// Whether a number stands at the beginning of a text, with its sign and currency.
fn begins_number(text: &str) -> bool {
    let number = text.trim_start_matches(['-', '−', '\\', '.', '$', '€', '£', '¥']);
    let fraction = ["frac{", "dfrac{", "tfrac{"];
    number.starts_with(|c: char| c.is_ascii_digit())
        || fraction.iter().any(|name| number.starts_with(name))
}

/// Length of `x =` at the beginning of a text.
fn name(text: &str) -> Option<usize> {
    let letter = text.chars().next().filter(|c| c.is_alphabetic())?;
    let rest = text[letter.len_utf8()..].trim_start();
    let rest = rest.strip_prefix('=')?;
    Some(text.len() - rest.len())
}

/// The sign after a number that ends at `end` and its unit, and where the sign ends.
fn sign(line: &str, end: usize) -> Option<(Sign, usize)> {
    let mut at = end;
    let mut words = 0;
    loop {
        let rest = &line[at..];
        if rest.starts_with("}{") {
            return Some((Sign::Operator, at + 2));
        }
        let inner = rest.strip_prefix(")(").or_else(|| rest.strip_prefix('('));
        if at == end
            && let Some(inner) = inner.filter(|inner| begins_number(inner))
        {
            // `3(6)` is only a product where `=` follows.
            return Some((Sign::Of, line.len() - inner.len()));
        }
        if let Some(length) = layout(rest) {
            at += length;
            continue;
        }
        let c = rest.chars().next()?;
        let after = at + c.len_utf8();
        let next = line[after..].chars().next();
        let before = line[..at].chars().next_back();
        match c {
            '=' => return Some((Sign::Equals, after)),
            // As in `eggs/day` and `18-year-old`.
            '/' | '-' if next.is_some_and(char::is_alphabetic) => at = after,
            '+' | '-' | '−' | '–' | '*' | '×' | '/' | '÷' | '·' | '⋅' | '^' => {
                return Some((Sign::Operator, after));
            }
            ':' if before == Some(' ') || next.is_some_and(|c| c.is_ascii_digit()) => {
                return Some((Sign::Or, after));
            }
            ',' => {
                let word = letters(line[after..].trim_start());
                if !matches!(word, "and" | "or") {
                    return Some((Sign::And, after));
                }
                at = after;
            }
            '\\' => {
                let name = letters(&rest[1..]);
                let operator = matches!(name, "times" | "cdot" | "ast" | "div");
                return operator.then_some((Sign::Operator, after + name.len()));
            }
            c if c.is_alphabetic() => {
                let word = letters(rest);
                at += word.len();
                words += 1;
                let lower = word.to_lowercase();
                match lower.as_str() {
                    "times" | "plus" | "minus" | "x" | "by" => return Some((Sign::Operator, at)),
                    "of" if number_at(line, at).is_some() => return Some((Sign::Of, at)),
                    "equals" => return Some((Sign::Equals, at)),
                    "or" => return Some((Sign::Or, at)),
                    "to" if words == 1 => return Some((Sign::Or, at)),
                    "and" if number_at(line, at).is_some() => return Some((Sign::And, at)),
                    unit if words > MOST_WORDS || NO_UNITS.contains(&unit) => return None,
                    _ => {}
                }
            }
            _ => return None,
        }
    }
}

/// Whether a number that ends at `end` is the last, with a unit of a word at most.
fn ends(line: &str, end: usize) -> bool {
    let mut at = end;
    let mut words = 0;
    loop {
        let rest = &line[at..];
        if let Some(length) = layout(rest) {
            at += length;
            continue;
        }
        let word = letters(rest);
        match (word, rest.chars().next()) {
            ("and" | "or", _) | (_, None | Some(',' | ';' | '.' | '!')) => return true,
            ("", Some('*')) => return rest.starts_with("**"),
            ("", _) | ("of" | "times", _) => return false,
            (word, _) if NO_UNITS.contains(&word) => return false,
            _ => {
                words += 1;
                at += word.len();
            }
        }
        if words > 1 {
            return false;
        }
    }
}

/// Length of a part that says nothing, at the beginning of a text: a space, a bracket, currency, a
/// command of that kind, or what GSM8K's calculator worked out.
fn layout(text: &str) -> Option<usize> {
    let c = text.chars().next()?;
    match c {
        '<' => {
            let inner = text.strip_prefix("<<")?;
            Some("<<".len() + inner.find(">>")? + ">>".len())
        }
        '\\' => {
            let name = letters(&text[1..]);
            if !name.is_empty() {
                return LAYOUT.contains(&name).then_some(1 + name.len());
            }
            let escaped = text[1..].chars().next()?;
            escaped.is_ascii().then_some(2)
        }
        c if c.is_whitespace() || CURRENCY.contains(&c) => Some(c.len_utf8()),
        '(' | ')' | '[' | ']' | '{' | '}' | '%' | '°' | '¢' => Some(c.len_utf8()),
        _ => None,
    }
}

fn letters(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphabetic());
    &text[..end.unwrap_or(text.len())]
}
