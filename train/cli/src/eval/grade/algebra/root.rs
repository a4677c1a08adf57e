//! Roots and absolute values of sums.

use super::super::rational::Rational;
use super::{Effort, Monomial, Sum};

impl Sum {
    /// The principal root of that degree. A square root of a negative number is imaginary; one of
    /// anything with a variable is worked out as far as its positive rational factor.
    pub(in super::super) fn root(&self, degree: u32, effort: &mut Effort) -> Option<Self> {
        // What searching for square factors costs at most, about.
        effort.spend(200)?;
        if self.is_zero() {
            return (degree > 0).then(|| self.clone());
        }
        if let Some(root) = self.as_rational().and_then(|value| value.root(degree)) {
            return Some(Self::number(root));
        }
        if let Some(root) = self.root_of_number(degree) {
            return Some(root);
        }
        if degree != 2 {
            return Self::opaque(format!("root({degree},{self})"), self.is_constant());
        }
        let (content, rest) = self.content()?;
        let sign = content.is_negative();
        let content = if sign { content.negated() } else { content };
        let product = content.numerator().checked_mul(content.denominator())?;
        let Some((factor, monomial)) = Monomial::square_root(product) else {
            return Self::opaque(format!("root(2,{self})"), self.is_constant());
        };
        let factor = factor.times(Rational::new(1, content.denominator())?)?;
        let outside = Self::term(factor, monomial);
        if rest.as_rational() == Some(Rational::ONE) {
            return match sign {
                true => outside.times(&Self::imaginary(), effort),
                false => Some(outside),
            };
        }
        let rest = if sign { rest.negated() } else { rest };
        let inner = Self::opaque(format!("root(2,{rest})"), rest.is_constant())?;
        outside.times(&inner, effort)
    }

    /// That of a number by its primes, for degrees above 2; an odd one of a negative number is real.
    fn root_of_number(&self, degree: u32) -> Option<Self> {
        let value = self.as_rational().filter(|_| degree > 2)?;
        let negative = value.is_negative();
        if negative && degree.is_multiple_of(2) {
            return None;
        }
        let whole = |number: i128| u64::try_from(number.abs()).ok();
        let (above, one) = Monomial::root(whole(value.numerator())?, degree)?;
        let (below, two) = Monomial::root(whole(value.denominator())?, degree)?;
        let (inverse, two) = two.inverse()?;
        let (factor, product) = one.times(&two)?;
        let factor = above
            .times(below.inverse()?)?
            .times(inverse)?
            .times(factor)?;
        let factor = if negative { factor.negated() } else { factor };
        Some(Self::term(factor, product))
    }

    /// The absolute value; of anything but products of roots and `π` only up to its sign.
    pub(in super::super) fn absolute(&self, effort: &mut Effort) -> Option<Self> {
        let Some((content, rest)) = self.content() else {
            return self.is_zero().then(|| self.clone());
        };
        let size = match content.is_negative() {
            true => content.negated(),
            false => content,
        };
        let positive = (rest.single()).is_some_and(|(monomial, _)| monomial.is_positive());
        let rest = match positive {
            true => rest,
            false => Self::opaque(format!("abs({rest})"), rest.is_constant())?,
        };
        rest.multiplied_out(&Self::number(size), effort)
    }
}
