//! Sums of products in one form each, so that equal values that can be seen to be equal are equal.
//!
//! What is worked out: rational numbers, square roots of rational numbers, `i`, `π`, powers, like
//! terms, the order of terms and of factors, a number times a bracket, and brackets without
//! variables. A bracket with a variable in it times anything but a number stays a bracket, so
//! `(x+1)(x-1)` is not `x^2-1`.

mod monomial;
mod root;

use std::collections::BTreeMap;
use std::fmt;

pub(super) use monomial::Atom;
use monomial::Monomial;

use super::rational::{Rational, gcd};

/// A sum with more terms is not worked out.
const MOST_TERMS: usize = 64;
/// Nor is a bracket with a longer text, in bytes.
const LONGEST_KEY: usize = 2048;
/// The highest power of a sum that is multiplied out.
const HIGHEST_POWER: i32 = 32;

/// Term products one answer may cost, so that no answer takes long.
#[derive(Debug)]
pub(super) struct Effort(u32);

impl Effort {
    pub(super) fn new() -> Self {
        Self(20_000)
    }

    /// Takes `cost` of what is left.
    pub(super) fn spend(&mut self, cost: usize) -> Option<()> {
        let cost = u32::try_from(cost).ok()?;
        self.0 = self.0.checked_sub(cost)?;
        Some(())
    }
}

/// A sum of products; 0 is the empty one. Every operation gives `None` for what is not defined
/// (a division by 0) and for what would be too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum(BTreeMap<Monomial, Rational>);

impl Sum {
    pub(super) fn number(value: Rational) -> Self {
        Self::term(value, Monomial::ONE)
    }

    pub(super) fn atom(atom: Atom) -> Self {
        Self::term(Rational::ONE, Monomial::atom(atom, 1))
    }

    /// The imaginary unit.
    pub(super) fn imaginary() -> Self {
        Self::term(Rational::ONE, Monomial::imaginary())
    }

    fn term(factor: Rational, monomial: Monomial) -> Self {
        let mut terms = BTreeMap::new();
        if !factor.is_zero() {
            terms.insert(monomial, factor);
        }
        Self(terms)
    }

    /// Something that is not looked into, told apart by its canonical text.
    pub(super) fn opaque(key: String, constant: bool) -> Option<Self> {
        (key.len() <= LONGEST_KEY).then(|| Self::atom(Atom::Opaque { constant, key }))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether no variable is in it.
    pub(super) fn is_constant(&self) -> bool {
        self.0.keys().all(Monomial::is_constant)
    }

    /// The value where it is a rational number.
    pub(super) fn as_rational(&self) -> Option<Rational> {
        match self.single() {
            Some((monomial, factor)) => (*monomial == Monomial::ONE).then_some(factor),
            None => self.is_zero().then_some(Rational::ZERO),
        }
    }

    fn single(&self) -> Option<(&Monomial, Rational)> {
        let mut terms = self.0.iter();
        match (terms.next(), terms.next()) {
            (Some((monomial, &factor)), None) => Some((monomial, factor)),
            _ => None,
        }
    }

    pub(super) fn negated(&self) -> Self {
        Self((self.0.iter().map(|(m, f)| (m.clone(), f.negated()))).collect())
    }

    pub(super) fn plus(&self, other: &Self, effort: &mut Effort) -> Option<Self> {
        effort.spend(other.0.len())?;
        let mut sum = self.clone();
        for (monomial, &factor) in &other.0 {
            sum.add(monomial.clone(), factor)?;
        }
        Some(sum)
    }

    fn add(&mut self, monomial: Monomial, factor: Rational) -> Option<()> {
        let before = self.0.get(&monomial).copied().unwrap_or(Rational::ZERO);
        let after = before.plus(factor)?;
        if after.is_zero() {
            self.0.remove(&monomial);
        } else {
            self.0.insert(monomial, after);
        }
        (self.0.len() <= MOST_TERMS).then_some(())
    }

    pub(super) fn times(&self, other: &Self, effort: &mut Effort) -> Option<Self> {
        let singles = self.0.len() <= 1 && other.0.len() <= 1;
        if singles || self.is_constant() || other.is_constant() {
            return self.multiplied_out(other, effort);
        }
        let (one, two) = (self.bracket(1, effort)?, other.bracket(1, effort)?);
        one.multiplied_out(&two, effort)
    }

    fn multiplied_out(&self, other: &Self, effort: &mut Effort) -> Option<Self> {
        effort.spend(self.0.len() * other.0.len())?;
        let mut product = Self(BTreeMap::new());
        for (left, &a) in &self.0 {
            for (right, &b) in &other.0 {
                let (factor, monomial) = left.times(right)?;
                product.add(monomial, a.times(b)?.times(factor)?)?;
            }
        }
        Some(product)
    }

    /// A power of this as one term: what divides all terms, and the rest in brackets.
    fn bracket(&self, power: i32, effort: &mut Effort) -> Option<Self> {
        let Some(first) = self.0.keys().next().filter(|_| self.0.len() > 1) else {
            return self.power_of_term(power);
        };
        // Roots, `i` and `π` of the first term are taken out of all, so that it doesn't matter
        // whether they were multiplied in.
        let shared = Self::term(Rational::ONE, first.constant_part());
        let inverse = shared.power_of_term(-1)?;
        let (content, primitive) = self.multiplied_out(&inverse, effort)?.content()?;
        let atom = Atom::Opaque {
            constant: self.is_constant(),
            key: primitive.key()?,
        };
        let outside = shared.multiplied_out(&Self::number(content), effort)?;
        let inside = Self::term(Rational::ONE, Monomial::atom(atom, power));
        outside
            .power_of_term(power)?
            .multiplied_out(&inside, effort)
    }

    /// The largest number that leaves whole coefficients, with the sign of the first of them, and
    /// what it leaves. `None` for 0.
    pub(super) fn content(&self) -> Option<(Rational, Self)> {
        let (mut divisor, mut multiple) = (0, 1i128);
        for factor in self.0.values() {
            divisor = gcd(divisor, factor.numerator());
            let step = factor.denominator() / gcd(multiple, factor.denominator());
            multiple = multiple.checked_mul(step)?;
        }
        let mut content = Rational::new(divisor, multiple)?;
        if self.0.values().next()?.is_negative() {
            content = content.negated();
        }
        let inverse = content.inverse()?;
        let mut primitive = BTreeMap::new();
        for (monomial, factor) in &self.0 {
            primitive.insert(monomial.clone(), factor.times(inverse)?);
        }
        Some((content, Self(primitive)))
    }

    fn power_of_term(&self, exponent: i32) -> Option<Self> {
        let Some((monomial, factor)) = self.single() else {
            return (exponent > 0).then(|| self.clone());
        };
        let (more, power) = monomial.power(exponent)?;
        Some(Self::term(factor.power(exponent)?.times(more)?, power))
    }

    pub(super) fn power(&self, exponent: i32, effort: &mut Effort) -> Option<Self> {
        if self.0.len() <= 1 {
            return self.power_of_term(exponent);
        }
        if exponent == 0 {
            return Some(Self::number(Rational::ONE));
        }
        if !self.is_constant() {
            return match exponent {
                1 => Some(self.clone()),
                _ => self.bracket(exponent, effort),
            };
        }
        if exponent < 0 {
            return match self.conjugate() {
                Some(conjugate) => (self.times(&conjugate, effort)?)
                    .power_of_term(-1)?
                    .times(&conjugate, effort)?
                    .power(exponent.checked_neg()?, effort),
                None => self.bracket(exponent, effort),
            };
        }
        if exponent > HIGHEST_POWER {
            return self.bracket(exponent, effort);
        }
        let mut power = self.clone();
        for _ in 1..exponent {
            power = power.times(self, effort)?;
        }
        Some(power)
    }

    /// `a-b` for `a+b` where both squares are rational, so that their product is rational too.
    fn conjugate(&self) -> Option<Self> {
        let two = self.0.len() == 2 && self.0.keys().all(Monomial::is_algebraic);
        let mut conjugate = two.then(|| self.clone())?;
        let last = conjugate.0.values_mut().next_back()?;
        *last = last.negated();
        Some(conjugate)
    }

    /// The canonical text in brackets, if it is not too long.
    pub(super) fn key(&self) -> Option<String> {
        let key = format!("({self})");
        (key.len() <= LONGEST_KEY).then_some(key)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return write!(f, "0");
        }
        for (monomial, factor) in &self.0 {
            let plus = if factor.is_negative() { "" } else { "+" };
            write!(f, "{plus}{factor}{monomial}")?;
        }
        Ok(())
    }
}
