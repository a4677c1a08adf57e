//! What may stand at the end of an answer and isn't compared.

use super::super::magnitude;
use super::Token;

/// Words that change a value, the time of day, or join answers, and are no units.
const NO_UNITS: &str = "\
    and or am pm noon midnight dozen dozens score googol mil bn mn tn zero one two three \
    four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty seventy \
    eighty ninety half halves third thirds quarter fourth fourths fifth fifths sixth sixths \
    seventh sevenths eighth eighths ninth ninths tenth tenths twelfth twelfths hundredth \
    hundredths thousandth thousandths millionth millionths billionth billionths factorial \
    plus minus not less below negative mod modulo base hundreds thousands millions billions \
    trillions sextillion septillion doubled tripled halved twice thrice repeating recurring \
    above least most upwards onwards reciprocal root";

/// Capitals that may be factors.
const CAPITALS: [&str; 4] = ["K", "M", "B", "T"];

/// Powers, but for those of a unit, as in `cm squared`.
const POWERS: [&str; 2] = ["squared", "cubed"];

/// Which way a part is meant, as in `5 percent more`.
const WAYS: [&str; 5] = ["more", "fewer", "greater", "higher", "lower"];

/// Signs of per cent in words.
const PERCENT: [&str; 2] = ["percent", "cent"];

/// Without full stops, commas and the like at its end.
pub(super) fn without_end(mut tokens: &[Token]) -> &[Token] {
    while let Some((last, rest)) = tokens.split_last() {
        let break_of_line = matches!(last, Token::Unknown(name) if name == "\\");
        if !break_of_line && !matches!(last, Token::Symbol('.' | ',' | ';' | ':' | '?')) {
            break;
        }
        tokens = rest;
    }
    without_unit(tokens)
}

/// Without words after a formula, and without the exponents of such words: `5\text{ cm}^2`.
pub(super) fn without_unit(tokens: &[Token]) -> &[Token] {
    let tokens = without_remark(tokens);
    let mut end = tokens.len();
    let mut start = end;
    while end > 0 {
        match &tokens[end - 1] {
            Token::Word { letters, .. } => {
                if start < tokens.len() && letters.eq_ignore_ascii_case("or") {
                    // As in `3 or more`.
                    return tokens;
                }
                if !is_unit(tokens, end - 1) {
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

/// Without words in brackets after a formula: `8\text{ (units)}`.
fn without_remark(tokens: &[Token]) -> &[Token] {
    let Some((Token::Symbol(')'), rest)) = tokens.split_last() else {
        return tokens;
    };
    let Some(open) = rest.iter().rposition(|t| t.is_symbol('(')) else {
        return tokens;
    };
    // One letter is a choice.
    let word = |at: usize| {
        matches!(&rest[at], Token::Word { letters, .. } if letters.chars().count() > 1)
            && is_unit(rest, at)
    };
    let number = matches!(rest[..open].last(), Some(Token::Number(_)));
    let formula = number || rest[..open].last().is_some_and(Token::closes);
    let words = open + 1 < rest.len() && (open + 1..rest.len()).all(word);
    if formula && words {
        &rest[..open]
    } else {
        tokens
    }
}

/// Whether the word at a place says no more than a unit does.
fn is_unit(tokens: &[Token], at: usize) -> bool {
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word {
            letters,
            language: true,
        }) => Some(letters),
        _ => None,
    };
    let Some(letters) = word(at) else {
        return false;
    };
    let lower = letters.to_lowercase();
    let lower = lower.as_str();
    let before = at
        .checked_sub(1)
        .and_then(word)
        .map(|word| word.to_lowercase());
    let after_percent = before
        .as_deref()
        .is_some_and(|word| PERCENT.contains(&word));
    !(magnitude::of(letters, true).is_some()
        || CAPITALS.contains(&letters.as_str())
        || NO_UNITS.split(' ').any(|word| word == lower)
        || (POWERS.contains(&lower) && before.is_none() && word(at + 1).is_none())
        || (WAYS.contains(&lower) && after_percent))
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
        [
            ..,
            Token::Symbol('^'),
            Token::Symbol('{'),
            Token::Symbol('-'),
            Token::Number(_),
            Token::Symbol('}'),
        ] => 5,
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
