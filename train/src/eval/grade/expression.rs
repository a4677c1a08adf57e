//! Tokens of a formula to its value.

use super::algebra::{Atom, Effort, Sum};
use super::rational::Rational;
use super::tokens::Token;
use super::tokens::{FUNCTIONS, GREEK};

/// Brackets inside brackets that are followed.
const DEEPEST: usize = 40;
/// The largest number whose factorial is worked out.
const LARGEST_FACTORIAL: i128 = 33;
/// Letters that before a bracket are functions, not factors.
const FUNCTION_LETTERS: &str = "fghpqFGHPQ";

/// The value of a formula. `None` where it isn't one, is ambiguous (`1/2x`), or is too large.
pub(super) fn value(tokens: &[Token], effort: &mut Effort) -> Option<Sum> {
    if tokens.iter().any(|t| t.is_command("infty")) {
        return infinity(tokens);
    }
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        effort,
    };
    let value = parser.sum()?;
    (parser.at == tokens.len()).then_some(value)
}

/// Infinity stands alone: no sum with it is worked out.
fn infinity(tokens: &[Token]) -> Option<Sum> {
    let infinity = Sum::atom(Atom::Infinity);
    match tokens {
        [one] if one.is_command("infty") => Some(infinity),
        [sign, one] if one.is_command("infty") && sign.is_symbol('-') => Some(infinity.negated()),
        [sign, one] if one.is_command("infty") && sign.is_symbol('+') => Some(infinity),
        _ => None,
    }
}

struct Parser<'a, 'e> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    effort: &'e mut Effort,
}

impl Parser<'_, '_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next_is(&self, symbol: char) -> bool {
        self.peek().is_some_and(|t| t.is_symbol(symbol))
    }

    fn take(&mut self, symbol: char) -> bool {
        let is = self.next_is(symbol);
        self.at += usize::from(is);
        is
    }

    fn sum(&mut self) -> Option<Sum> {
        let mut sum = self.product()?;
        loop {
            let negative = self.next_is('-');
            if !negative && !self.next_is('+') {
                break;
            }
            self.at += 1;
            let product = self.product()?;
            let product = if negative { product.negated() } else { product };
            sum = sum.plus(&product, self.effort)?;
        }
        Some(sum)
    }

    /// Signs, then factors. A factor without a sign before it after a division is ambiguous.
    fn product(&mut self) -> Option<Sum> {
        let mut negative = false;
        while self.next_is('-') || self.next_is('+') {
            negative ^= self.next_is('-');
            self.at += 1;
        }
        let mut product = self.mixed_or_factor()?;
        let mut divided = false;
        loop {
            if self.take('*') {
                let factor = self.signed_factor()?;
                product = product.times(&factor, self.effort)?;
                divided = false;
            } else if self.take('/') {
                let factor = self.signed_factor()?;
                let inverse = factor.power(-1, self.effort)?;
                product = product.times(&inverse, self.effort)?;
                divided = true;
            } else if self.begins_factor() {
                if divided {
                    return None;
                }
                let factor = self.factor()?;
                product = product.times(&factor, self.effort)?;
            } else {
                break;
            }
        }
        Some(if negative { product.negated() } else { product })
    }

    fn signed_factor(&mut self) -> Option<Sum> {
        let negative = self.take('-');
        let factor = self.factor()?;
        Some(if negative { factor.negated() } else { factor })
    }

    /// Whether what follows is multiplied without a sign. A number is not: `x2` isn't read.
    fn begins_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Letter(_)) => true,
            Some(Token::Symbol(c)) => matches!(c, '(' | '[' | '{'),
            Some(Token::Command(name)) => {
                matches!(*name, "frac" | "binom" | "sqrt" | "pi" | "overline")
                    || FUNCTIONS.contains(name)
                    || GREEK.contains(name)
            }
            _ => false,
        }
    }

    /// A factor, or a mixed number: `3\frac{1}{2}`, `3 1/2`.
    fn mixed_or_factor(&mut self) -> Option<Sum> {
        let whole = match self.peek() {
            Some(Token::Number(digits)) => digits.parse::<i64>().ok(),
            _ => None,
        };
        let fraction = whole.and_then(|_| proper_fraction(&self.tokens[self.at + 1..]));
        if let (Some(whole), Some((fraction, length))) = (whole, fraction) {
            self.at += 1 + length;
            let value = Rational::integer(whole).plus(fraction)?;
            return Some(Sum::number(value));
        }
        self.factor()
    }

    /// A base, its factorials, and its exponent.
    fn factor(&mut self) -> Option<Sum> {
        let mut base = self.base()?;
        while self.take('!') {
            base = factorial(&base)?;
        }
        if !self.take('^') {
            return Some(base);
        }
        let exponent = self.exponent()?;
        if self.next_is('^') || self.next_is('!') {
            return None;
        }
        self.power(&base, &exponent)
    }

    /// In braces, or one number, letter or command, with a sign or without.
    fn exponent(&mut self) -> Option<Sum> {
        let negative = self.take('-');
        let exponent = match self.peek()? {
            Token::Symbol('{' | '(') => self.grouped()?,
            _ => self.base()?,
        };
        Some(if negative {
            exponent.negated()
        } else {
            exponent
        })
    }

    fn power(&mut self, base: &Sum, exponent: &Sum) -> Option<Sum> {
        let opaque = |constant| {
            let key = format!("pow({base},{exponent})");
            Sum::opaque(key, constant)
        };
        let constant = base.is_constant() && exponent.is_constant();
        let Some(rational) = exponent.as_rational() else {
            return opaque(constant);
        };
        if let Some(whole) = rational.as_integer() {
            let power = i32::try_from(whole).ok();
            if let Some(power) = power.and_then(|power| base.power(power, self.effort)) {
                return Some(power);
            }
            if whole < 0 {
                let positive = self.power(base, &exponent.negated())?;
                return positive.power(-1, self.effort);
            }
            return opaque(constant);
        }
        // A fractional power of a number is a power of a root; of anything else, itself.
        let degree = u32::try_from(rational.denominator()).ok()?;
        let whole = i32::try_from(rational.numerator()).ok()?;
        let number = base.as_rational();
        if degree == 2 || number.is_some_and(|number| !number.is_negative()) {
            return base.root(degree, self.effort)?.power(whole, self.effort);
        }
        opaque(constant)
    }

    /// Every way into something deeper leads through here.
    fn base(&mut self) -> Option<Sum> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let base = self.base_of_any_depth()?;
        self.depth -= 1;
        Some(base)
    }

    fn base_of_any_depth(&mut self) -> Option<Sum> {
        let token = self.peek()?.clone();
        if matches!(token, Token::Symbol('{' | '(' | '[')) {
            return self.grouped();
        }
        self.at += 1;
        match token {
            Token::Number(digits) => Rational::decimal(&digits).map(Sum::number),
            Token::Repeating(fixed, repeated) => repeating(&fixed, &repeated).map(Sum::number),
            Token::Letter(letter) => self.letter(letter),
            Token::Word { letters, .. } => self.letter(only_letter(&letters)?),
            Token::Command("pi") => Some(Sum::atom(Atom::Pi)),
            Token::Command("frac") => {
                let numerator = self.argument()?;
                let denominator = self.argument()?;
                numerator.times(&denominator.power(-1, self.effort)?, self.effort)
            }
            Token::Command("sqrt") => {
                let degree = self.degree()?;
                let argument = self.argument()?;
                argument.root(degree, self.effort)
            }
            Token::Command("binom") => {
                let (n, k) = (self.argument()?, self.argument()?);
                binomial(&n, &k)
            }
            Token::Command("overline") => {
                let argument = self.argument()?;
                Sum::opaque(format!("overline({argument})"), argument.is_constant())
            }
            Token::Command(name) if FUNCTIONS.contains(&name) => self.function(name),
            Token::Command(name) if GREEK.contains(&name) => self.variable(name.to_owned()),
            _ => None,
        }
    }

    /// A sum in brackets of its own kind or in braces.
    fn grouped(&mut self) -> Option<Sum> {
        let close = match self.peek()? {
            Token::Symbol('{') => '}',
            Token::Symbol('(') => ')',
            Token::Symbol('[') => ']',
            _ => return None,
        };
        self.at += 1;
        let sum = self.sum()?;
        self.take(close).then_some(sum)
    }

    /// An argument: a group, or one token.
    fn argument(&mut self) -> Option<Sum> {
        match self.peek()? {
            Token::Symbol('{' | '(') => self.grouped(),
            Token::Symbol(_) => None,
            _ => self.base(),
        }
    }

    fn degree(&mut self) -> Option<u32> {
        if !self.take('[') {
            return Some(2);
        }
        let degree = self.sum()?.as_rational()?.as_integer()?;
        let degree = u32::try_from(degree).ok().filter(|degree| *degree > 0)?;
        self.take(']').then_some(degree)
    }

    fn letter(&mut self, letter: char) -> Option<Sum> {
        if self.next_is('(') && FUNCTION_LETTERS.contains(letter) {
            let argument = self.grouped()?;
            return Sum::opaque(format!("{letter}({argument})"), false);
        }
        if letter == 'i' && !self.next_is('_') {
            return Some(Sum::imaginary());
        }
        self.variable(letter.to_string())
    }

    /// A variable with its index.
    fn variable(&mut self, mut name: String) -> Option<Sum> {
        if self.take('_') {
            let index = self.argument()?;
            name.push_str(&format!("_{}", index.key()?));
        }
        if self.next_is('\'') || name.len() > 256 {
            return None;
        }
        Some(Sum::atom(Atom::Variable(name)))
    }

    /// `\sin^2 x`, `\log_2 (x)`, `\cos 3x`.
    fn function(&mut self, name: &str) -> Option<Sum> {
        let mut name = name.to_owned();
        if self.take('_') {
            name.push_str(&format!("_{}", self.argument()?.key()?));
        }
        let exponent = match self.take('^') {
            // `\sin^{-1}` is as often the inverse function as the reciprocal.
            true => {
                Some(self.exponent()?).filter(|e| e.as_rational().is_some_and(|e| !e.is_negative()))
            }
            false => Some(Sum::number(Rational::ONE)),
        }?;
        let argument = if self.next_is('(') {
            let argument = self.grouped()?;
            if self.next_is('^') {
                return None;
            }
            argument
        } else {
            self.bare_argument()?
        };
        let constant = argument.is_constant();
        let value = Sum::opaque(format!("{name}({argument})"), constant)?;
        self.power(&value, &exponent)
    }

    /// Factors up to the next sign, bracket or function.
    fn bare_argument(&mut self) -> Option<Sum> {
        let mut argument = self.mixed_or_factor()?;
        while self.begins_factor() && !self.next_is('(') && !self.next_is('[') {
            if matches!(self.peek(), Some(Token::Command(name)) if FUNCTIONS.contains(name)) {
                break;
            }
            let factor = self.factor()?;
            argument = argument.times(&factor, self.effort)?;
        }
        (!self.next_is('/')).then_some(argument)
    }
}

/// `\mathrm{i}` is `i`, but a word is no product.
fn only_letter(word: &str) -> Option<char> {
    let mut letters = word.chars();
    letters.next().filter(|_| letters.next().is_none())
}

/// The fraction below 1 that the tokens begin with, and how many tokens it takes.
fn proper_fraction(tokens: &[Token]) -> Option<(Rational, usize)> {
    let number = |at: usize| match tokens.get(at)? {
        Token::Number(digits) => digits.parse::<i64>().ok(),
        Token::Symbol('{') => match tokens.get(at + 1..at + 3)? {
            [Token::Number(digits), Token::Symbol('}')] => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    };
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
fn repeating(fixed: &str, repeated: &str) -> Option<Rational> {
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

fn factorial(of: &Sum) -> Option<Sum> {
    match of.as_rational().and_then(Rational::as_integer) {
        Some(n) if (0..=LARGEST_FACTORIAL).contains(&n) => {
            Rational::new((1..=n).product(), 1).map(Sum::number)
        }
        _ => Sum::opaque(format!("factorial({of})"), of.is_constant()),
    }
}

fn binomial(n: &Sum, k: &Sum) -> Option<Sum> {
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
