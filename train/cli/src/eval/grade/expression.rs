//! Tokens of a formula to its value.

mod special;

use super::algebra::{Atom, Effort, Sum};
use super::rational::Rational;
use super::tokens::Token;
use super::tokens::{FUNCTIONS, GREEK};
use special::{binomial, factor, factorial, only_letter, proper_fraction, repeating};

/// Brackets inside brackets that are followed.
const DEEPEST: usize = 40;
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
        bars: 0,
        effort,
    };
    let value = parser.group()?;
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
    /// Absolute values that are open.
    bars: usize,
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

    /// What a pair of braces holds: a sum, or all of it above and below `\over` or `\choose`.
    fn group(&mut self) -> Option<Sum> {
        let above = self.sum()?;
        let over = self.peek().is_some_and(|t| t.is_command("over"));
        if !over && !self.peek().is_some_and(|t| t.is_command("choose")) {
            return Some(above);
        }
        self.at += 1;
        let below = self.sum()?;
        match over {
            true => above.times(&below.power(-1, self.effort)?, self.effort),
            false => binomial(&above, &below),
        }
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
            // Within bars it is the closing one.
            Some(Token::Symbol('|')) => self.bars == 0,
            Some(Token::Symbol(c)) => matches!(c, '(' | '[' | '{'),
            Some(Token::Word { letters, language }) => *language && factor(letters).is_some(),
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
            Token::Symbol('|') => self.absolute(),
            Token::Number(digits) => Rational::decimal(&digits).map(Sum::number),
            Token::Repeating(fixed, repeated) => repeating(&fixed, &repeated).map(Sum::number),
            Token::Letter(letter) => self.letter(letter),
            Token::Word { letters, language } => match factor(&letters) {
                Some(factor) if language && self.at > 1 => {
                    Some(Sum::number(Rational::integer(factor)))
                }
                _ => self.letter(only_letter(&letters)?),
            },
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
        let bars = std::mem::take(&mut self.bars);
        let sum = self.group()?;
        self.bars = bars;
        self.take(close).then_some(sum)
    }

    /// What follows an opening bar.
    fn absolute(&mut self) -> Option<Sum> {
        self.bars += 1;
        let sum = self.sum()?;
        self.bars -= 1;
        if !self.take('|') {
            return None;
        }
        sum.absolute(self.effort)
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
