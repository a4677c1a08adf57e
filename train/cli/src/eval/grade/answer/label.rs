//! Names that answers are given: `x = 5`, `(x,y) = (1,2)`, `x \in [0,1]`.

use super::super::tokens::{GREEK, canonical_text};
use super::{Effort, Token, closing, expression, outside, relation_sign, split_at, without_braces};

/// Without a name and its sign. Of `x = 10/2 = 5` the last value stays, and so does one of sides
/// that all have it, as in `2+3 = 5`.
pub(super) fn without<'a>(tokens: &'a [Token], effort: &mut Effort) -> &'a [Token] {
    let named = length(tokens);
    let rest = &tokens[named..];
    let signs = outside(rest, |t| relation_sign(t).is_some());
    if signs.is_empty() {
        return rest;
    }
    if signs
        .iter()
        .any(|&at| relation_sign(&rest[at]) != Some("="))
    {
        return tokens;
    }
    let sides = split_at(rest, &signs);
    let mut values = Vec::new();
    for side in &sides {
        match expression::value(side, effort) {
            Some(value) => values.push(value),
            None => return tokens,
        }
    }
    let Some((last, others)) = values.split_last() else {
        return tokens;
    };
    let same = others.iter().all(|value| value == last);
    if last.is_constant() && (named > 0 || same) {
        sides.last().copied().unwrap_or(tokens)
    } else {
        tokens
    }
}

/// Letters whose indices number the solutions.
const UNKNOWNS: &str = "xyzt";

/// Whether the parts have names that aren't the same. Solutions may be numbered: `x_1 = 1, x_2 = 2`.
pub(super) fn differ(parts: &[&[Token]]) -> bool {
    let numbered = |part: &&[Token]| match part {
        [Token::Letter(letter), Token::Symbol('_'), ..] if length(part) > 0 => {
            UNKNOWNS.contains(*letter).then_some(*letter)
        }
        _ => None,
    };
    let first = parts.first().and_then(numbered);
    if first.is_some() && parts.iter().all(|part| numbered(part) == first) {
        return false;
    }
    let mut names = (parts.iter()).filter_map(|part| match length(part) {
        0 => None,
        length => Some(canonical_text(&part[..length])),
    });
    let first = names.next();
    names.any(|name| Some(&name) != first.as_ref())
}

/// Tokens of the name and its sign; 0 where there is none.
fn length(tokens: &[Token]) -> usize {
    let sign = |t: &Token| t.is_symbol('=') || t.is_command("in");
    let Some(&at) = outside(tokens, sign).first() else {
        return 0;
    };
    let name = without_braces(&tokens[..at]);
    let alone = is_variable(name) || is_words(name) || is_variables(name);
    match alone && at + 1 < tokens.len() {
        true => at + 1,
        false => 0,
    }
}

/// `x`, `x_1`, `\theta`, `f(x)`.
fn is_variable(name: &[Token]) -> bool {
    let (Some(first), rest) = (name.first(), name.get(1..).unwrap_or_default()) else {
        return false;
    };
    if !is_letter(first) {
        return false;
    }
    match rest {
        [] => true,
        [Token::Symbol('_'), index] => !index.opens(),
        [Token::Symbol('_'), open, ..] => {
            open.is_symbol('{') && closing(rest, 1) == Some(rest.len() - 1)
        }
        [Token::Symbol('('), argument, Token::Symbol(')')] => is_letter(argument),
        _ => false,
    }
}

/// `\angle ABC`, `\text{Area}`, `AB`.
fn is_words(name: &[Token]) -> bool {
    let named = |t: &Token| match t {
        Token::Word { .. } | Token::Letter(_) => true,
        Token::Command(name) => matches!(*name, "angle" | "triangle"),
        _ => false,
    };
    let word = |t: &Token| matches!(t, Token::Word { .. } | Token::Command(_));
    name.iter().all(named) && name.iter().any(word)
}

/// `(x,y)`.
fn is_variables(name: &[Token]) -> bool {
    let [Token::Symbol('('), inner @ .., Token::Symbol(')')] = name else {
        return false;
    };
    let mut parts = inner.split(|t| t.is_symbol(','));
    inner.len() >= 3 && parts.all(is_variable)
}

fn is_letter(token: &Token) -> bool {
    match token {
        Token::Letter(_) => true,
        Token::Command(name) => GREEK.contains(name),
        _ => false,
    }
}
