//! What may stand at the end of an answer and isn't compared.

use super::Token;

/// Words that change a value, the time of day, or join answers, and are no units.
const NO_UNITS: [&str; 11] = [
    "and", "or", "am", "pm", "hundred", "thousand", "million", "billion", "trillion", "dozen",
    "dozens",
];

/// Without full stops, commas and the like at its end.
pub(super) fn without_end(mut tokens: &[Token]) -> &[Token] {
    while let Some((Token::Symbol('.' | ',' | ';' | ':' | '?'), rest)) = tokens.split_last() {
        tokens = rest;
    }
    without_unit(tokens)
}

/// Without words after a formula, and without the exponents of such words: `5\text{ cm}^2`.
pub(super) fn without_unit(tokens: &[Token]) -> &[Token] {
    let mut end = tokens.len();
    let mut start = end;
    while end > 0 {
        match &tokens[end - 1] {
            Token::Word { letters, language } => {
                let lower = letters.to_lowercase();
                if !language || NO_UNITS.contains(&lower.as_str()) {
                    break;
                }
                end -= 1;
                start = end;
            }
            // Between units, or after the last one.
            Token::Symbol('/' | '*' | '.' | '-') if end > 1 => end -= 1,
            _ => match exponent(&tokens[..end]) {
                Some(length) => end -= length,
                None => break,
            },
        }
    }
    let formula = &tokens[..start];
    // Letters alone may be words themselves, as in `not possible`.
    let is_formula = |t: &Token| match t {
        Token::Word { .. } | Token::Letter(_) => false,
        Token::Symbol(_) => t.closes(),
        _ => true,
    };
    if formula.iter().any(is_formula) && !formula.last().is_some_and(dangles) {
        formula
    } else {
        tokens
    }
}

/// Length of an exponent of a unit that the tokens end with.
fn exponent(tokens: &[Token]) -> Option<usize> {
    let length = match tokens {
        [.., Token::Symbol('^'), Token::Number(_)] => 2,
        [
            ..,
            Token::Symbol('^'),
            Token::Symbol('{'),
            Token::Number(_),
            Token::Symbol('}'),
        ] => 4,
        _ => return None,
    };
    let unit = tokens.get(tokens.len().checked_sub(length + 1)?);
    matches!(unit, Some(Token::Word { language: true, .. })).then_some(length)
}

/// Whether something has to follow.
fn dangles(token: &Token) -> bool {
    match token {
        Token::Symbol(c) => matches!(c, '+' | '-' | '*' | '/' | '^' | '_' | '=' | '<' | '>' | '{'),
        Token::Command(name) => matches!(*name, "le" | "ge" | "ne" | "in" | "cup" | "pm" | "mp"),
        _ => false,
    }
}
