//! Numbers written in ways of their own, factorials and binomial coefficients.

use super::super::algebra::Sum;
use super::super::magnitude;
use super::super::rational::Rational;
use super::super::tokens::Token;

/// The largest number whose factorial is worked out.
const LARGEST_FACTORIAL: i128 = 33;

/// The factor that a word is. `K` is a unit as well.
pub(super) fn factor(word: &str) -> Option<i64> {
    magnitude::of(word, word != "K")
}

/// `\mathrm{i}` is `i`, but a word is no product.
pub(super) fn only_letter(word: &str) -> Option<char> {
    let mut letters = word.chars();
    letters.next().filter(|_| letters.next().is_none())
}

/// The fraction below 1 that the tokens begin with, and how many tokens it takes.
pub(super) fn proper_fraction(tokens: &[Token]) -> Option<(Rational, usize)> {
    let number = |at: usize| match tokens.get(at)? {
        Token::Number(digits) => digits.parse::<i64>().ok(),
        Token::Symbol('{') => match tokens.get(at + 1..at + 3)? {
            [Token::Number(digits), Token::Symbol('}')] => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    if let [
        Token::Symbol('{'),
        above,
        over,
        below,
        Token::Symbol('}'),
        ..,
    ] = tokens
        && over.is_command("over")
        && let (Token::Number(above), Token::Number(below)) = (above, below)
    {
        let (above, below) = (above.parse::<i64>().ok()?, below.parse::<i64>().ok()?);
        let value = Rational::new(i128::from(above), i128::from(below))?;
        return (0 < above && above < below).then_some((value, 5));
    }
    let length = |at: usize| match tokens.get(at) {
        Some(Token::Symbol('{')) => 3,
        _ => 1,
    };
    let (numerator, denominator, end) = if tokens.first()?.is_command("frac") {
        let second = 1 + length(1);
        (number(1)?, number(second)?, second + length(second))
    } else if tokens.get(1)?.is_symbol('/') && matches!(tokens.first(), Some(Token::Number(_))) {
        (number(0)?, number(2)?, 2 + length(2))
    } else {
        return None;
    };
    let proper = 0 < numerator && numerator < denominator;
    let value = Rational::new(i128::from(numerator), i128::from(denominator))?;
    proper.then_some((value, end))
}

/// `0.1` and `6` for 0.1666...
pub(super) fn repeating(fixed: &str, repeated: &str) -> Option<Rational> {
    let places = fixed
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let tenth = |places: usize| {
        let places = i32::try_from(places).ok()?;
        Rational::integer(10).power(places.checked_neg()?)
    };
    let fixed = if places == 0 {
        fixed.trim_end_matches('.')
    } else {
        fixed
    };
    let fixed = if fixed.is_empty() { "0" } else { fixed };
    let period = tenth(repeated.len())?;
    let whole = Rational::decimal(repeated)?.times(period)?;
    let series = Rational::ONE.plus(period.negated())?.inverse()?;
    let shift = if places == 0 {
        Rational::ONE
    } else {
        tenth(places)?
    };
    Rational::decimal(fixed)?.plus(whole.times(series)?.times(shift)?)
}

pub(super) fn factorial(of: &Sum) -> Option<Sum> {
    match of.as_rational().and_then(Rational::as_integer) {
        Some(n) if (0..=LARGEST_FACTORIAL).contains(&n) => {
            Rational::new((1..=n).product(), 1).map(Sum::number)
        }
        _ => Sum::opaque(format!("factorial({of})"), of.is_constant()),
    }
}

pub(super) fn binomial(n: &Sum, k: &Sum) -> Option<Sum> {
    let whole = |sum: &Sum| sum.as_rational().and_then(Rational::as_integer);
    if let (Some(n), Some(k)) = (whole(n), whole(k))
        && 0 <= k
        && k <= n
        && n <= 120
    {
        let mut value = 1i128;
        for step in 0..k.min(n - k) {
            value = value.checked_mul(n - step)? / (step + 1);
        }
        return Rational::new(value, 1).map(Sum::number);
    }
    let constant = n.is_constant() && k.is_constant();
    Sum::opaque(format!("binomial({n},{k})"), constant)
}
