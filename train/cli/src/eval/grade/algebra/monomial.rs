//! Products of roots, `i`, `π`, variables and whatever is not looked into.

use std::collections::BTreeMap;
use std::fmt;

use super::super::rational::{Rational, gcd};

/// Beyond this the square factors of a number under a root are not searched for.
const LARGEST_RADICAND: u64 = 10_000_000_000;

/// A factor of a product that no rule here changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Atom {
    /// The number π.
    Pi,
    /// ∞, which an expression is whole or not at all.
    Infinity,
    /// A letter, with its index if it has one.
    Variable(String),
    /// The root of a prime, of a degree above 2. Its powers are below the degree.
    Root {
        /// Degree.
        degree: u32,
        /// What stands under it.
        prime: u64,
    },
    /// A function's value, a bracket, a root or a power, told apart by its canonical text.
    Opaque {
        /// Whether there is no variable in it.
        constant: bool,
        /// Canonical text.
        key: String,
    },
}

impl Atom {
    fn is_constant(&self) -> bool {
        match self {
            Self::Pi | Self::Infinity | Self::Root { .. } => true,
            Self::Variable(_) => false,
            Self::Opaque { constant, .. } => *constant,
        }
    }
}

/// A product without its rational factor, always in the same form: the number under the square
/// root has no square factor, and `i` stands at most once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Monomial {
    /// Powers other than 0. Compared first, so that terms of a kind stand together.
    powers: BTreeMap<Atom, i32>,
    imaginary: bool,
    radicand: u64,
}

impl Monomial {
    pub(super) const ONE: Self = Self {
        powers: BTreeMap::new(),
        imaginary: false,
        radicand: 1,
    };

    pub(super) fn atom(atom: Atom, power: i32) -> Self {
        let mut one = Self::ONE;
        if power != 0 {
            one.powers.insert(atom, power);
        }
        one
    }

    pub(super) fn imaginary() -> Self {
        Self {
            imaginary: true,
            ..Self::ONE
        }
    }

    /// The square root of a whole number above 0, as a factor and what stays under the root.
    /// `None` where the number is too large to be split.
    pub(super) fn square_root(number: i128) -> Option<(Rational, Self)> {
        if let Some(root) = Rational::new(number, 1)?.root(2) {
            return Some((root, Self::ONE));
        }
        let mut rest = u64::try_from(number)
            .ok()
            .filter(|&n| n <= LARGEST_RADICAND)?;
        let (mut outside, mut under) = (1i64, 1u64);
        let mut factor = 2u64;
        while factor * factor <= rest {
            if rest.is_multiple_of(factor * factor) {
                rest /= factor * factor;
                outside = outside.checked_mul(i64::try_from(factor).ok()?)?;
            } else if rest.is_multiple_of(factor) {
                rest /= factor;
                under *= factor;
            } else {
                factor += 1;
            }
        }
        let radicand = under.checked_mul(rest)?;
        Some((
            Rational::integer(outside),
            Self {
                radicand,
                ..Self::ONE
            },
        ))
    }

    /// The root of a whole number above 0, of a degree above 2, as a factor and what stays under
    /// roots of primes. `None` where the number is too large to be split.
    pub(super) fn root(number: u64, degree: u32) -> Option<(Rational, Self)> {
        if number > LARGEST_RADICAND {
            return None;
        }
        let mut root = (Rational::ONE, Self::ONE);
        for (prime, exponent) in primes(number) {
            let shared = gcd(i128::from(exponent), i128::from(degree));
            let shared = u32::try_from(shared).ok()?;
            let (exponent, degree) = (exponent / shared, degree / shared);
            let factor = match degree {
                1 => Self::ONE,
                2 => Self {
                    radicand: prime,
                    ..Self::ONE
                },
                _ => Self::atom(Atom::Root { degree, prime }, 1),
            };
            let base = if degree == 1 { i128::from(prime) } else { 1 };
            let power = i32::try_from(exponent).ok()?;
            let (more, factor) = factor.power(power)?;
            let more = more.times(Rational::new(base, 1)?.power(power)?)?;
            let (again, product) = root.1.times(&factor)?;
            root = (root.0.times(more)?.times(again)?, product);
        }
        Some(root)
    }

    /// With the powers of its roots below their degrees, and the factor that leaves.
    fn reduced(mut self, mut factor: Rational) -> Option<(Rational, Self)> {
        for (atom, power) in &mut self.powers {
            let Atom::Root { degree, prime } = atom else {
                continue;
            };
            let degree = i32::try_from(*degree).ok()?;
            let whole = Rational::new(i128::from(*prime), 1)?;
            factor = factor.times(whole.power(power.div_euclid(degree))?)?;
            *power = power.rem_euclid(degree);
        }
        self.powers.retain(|_, power| *power != 0);
        Some((factor, self))
    }

    /// Whether no variable is in it.
    pub(super) fn is_constant(&self) -> bool {
        self.powers.keys().all(Atom::is_constant)
    }

    /// Without variables and what may have variables in it.
    pub(super) fn constant_part(&self) -> Self {
        let mut part = self.clone();
        part.powers.retain(|atom, _| atom.is_constant());
        part
    }

    /// Whether its square is rational: only roots and `i` are in it.
    pub(super) fn is_algebraic(&self) -> bool {
        self.powers.is_empty()
    }

    /// Whether its factors are all known to be above 0.
    pub(super) fn is_positive(&self) -> bool {
        let positive = |atom: &Atom| matches!(atom, Atom::Pi | Atom::Root { .. });
        !self.imaginary && self.powers.keys().all(positive)
    }

    /// The product, as a rational factor and a monomial.
    pub(super) fn times(&self, other: &Self) -> Option<(Rational, Self)> {
        let mut powers = self.powers.clone();
        for (atom, &power) in &other.powers {
            let sum = powers.get(atom).copied().unwrap_or(0).checked_add(power)?;
            if sum == 0 {
                powers.remove(atom);
            } else {
                powers.insert(atom.clone(), sum);
            }
        }
        // √a·√b = g·√(ab/g²), where g divides both and neither has a square factor.
        let shared = gcd(i128::from(self.radicand), i128::from(other.radicand));
        let shared = u64::try_from(shared).ok()?;
        let radicand = (self.radicand / shared).checked_mul(other.radicand / shared)?;
        let factor = Rational::new(i128::from(shared), 1)?;
        let factor = if self.imaginary && other.imaginary {
            factor.negated()
        } else {
            factor
        };
        let product = Self {
            powers,
            imaginary: self.imaginary != other.imaginary,
            radicand,
        };
        product.reduced(factor)
    }

    /// One over it: 1/√r = √r/r and 1/i = -i.
    pub(super) fn inverse(&self) -> Option<(Rational, Self)> {
        let mut powers = BTreeMap::new();
        for (atom, power) in &self.powers {
            powers.insert(atom.clone(), power.checked_neg()?);
        }
        let factor = Rational::new(1, i128::from(self.radicand))?;
        let factor = if self.imaginary {
            factor.negated()
        } else {
            factor
        };
        Self { powers, ..*self }.reduced(factor)
    }

    /// Its power, as a rational factor and a monomial.
    pub(super) fn power(&self, exponent: i32) -> Option<(Rational, Self)> {
        if exponent < 0 {
            let (factor, inverse) = self.inverse()?;
            let (more, power) = inverse.power(exponent.checked_neg()?)?;
            return Some((factor.power(exponent.checked_neg()?)?.times(more)?, power));
        }
        let mut powers = BTreeMap::new();
        for (atom, power) in &self.powers {
            if exponent != 0 {
                powers.insert(atom.clone(), power.checked_mul(exponent)?);
            }
        }
        let odd = exponent % 2 == 1;
        let mut factor = Rational::new(i128::from(self.radicand), 1)?.power(exponent / 2)?;
        if self.imaginary && exponent % 4 >= 2 {
            factor = factor.negated();
        }
        let power = Self {
            powers,
            imaginary: self.imaginary && odd,
            radicand: if odd { self.radicand } else { 1 },
        };
        power.reduced(factor)
    }
}

/// The primes of a number and their exponents.
fn primes(mut rest: u64) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    let mut factor = 2u64;
    while factor * factor <= rest {
        let mut exponent = 0;
        while rest.is_multiple_of(factor) {
            rest /= factor;
            exponent += 1;
        }
        if exponent > 0 {
            found.push((factor, exponent));
        }
        factor += 1;
    }
    if rest > 1 {
        found.push((rest, 1));
    }
    found
}

impl fmt::Display for Monomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.radicand > 1 {
            write!(f, "*√{}", self.radicand)?;
        }
        if self.imaginary {
            write!(f, "*i")?;
        }
        for (atom, power) in &self.powers {
            match atom {
                Atom::Pi => write!(f, "*π")?,
                Atom::Infinity => write!(f, "*∞")?,
                Atom::Root { degree, prime } => write!(f, "*{degree}√{prime}")?,
                Atom::Variable(name) => write!(f, "*{name}")?,
                Atom::Opaque { key, .. } => write!(f, "*{key}")?,
            }
            if *power != 1 {
                write!(f, "^{power}")?;
            }
        }
        Ok(())
    }
}
