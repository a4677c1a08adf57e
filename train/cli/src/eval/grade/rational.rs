//! Exact fractions of 128-bit integers.

/// A fraction in lowest terms with a positive denominator. Every operation gives `None` where the
/// result would not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rational {
    numerator: i128,
    denominator: i128,
}

impl Rational {
    pub(super) const ZERO: Self = Self::integer(0);
    pub(super) const ONE: Self = Self::integer(1);

    pub(super) const fn integer(value: i64) -> Self {
        Self {
            numerator: value as i128,
            denominator: 1,
        }
    }

    /// `None` also for a denominator of 0.
    pub(super) fn new(numerator: i128, denominator: i128) -> Option<Self> {
        // Without the least integer every value has its negative.
        if denominator == 0 || numerator == i128::MIN || denominator == i128::MIN {
            return None;
        }
        let divisor = gcd(numerator, denominator) * denominator.signum();
        Some(Self {
            numerator: numerator / divisor,
            denominator: denominator / divisor,
        })
    }

    /// The value of digits with or without a decimal point: `12`, `0.5`, `.5`, `5.`.
    pub(super) fn decimal(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        if !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit())
            || text.trim_matches('.').is_empty()
        {
            return None;
        }
        let mantissa = [whole.trim_start_matches('0'), fraction].concat();
        let mantissa = if mantissa.is_empty() {
            0
        } else {
            mantissa.parse().ok()?
        };
        let places = u32::try_from(fraction.len()).ok()?;
        Self::new(mantissa, 10i128.checked_pow(places)?)
    }

    pub(super) fn numerator(self) -> i128 {
        self.numerator
    }

    pub(super) fn denominator(self) -> i128 {
        self.denominator
    }

    pub(super) fn is_zero(self) -> bool {
        self.numerator == 0
    }

    pub(super) fn is_negative(self) -> bool {
        self.numerator < 0
    }

    /// The value where it is a whole number.
    pub(super) fn as_integer(self) -> Option<i128> {
        (self.denominator == 1).then_some(self.numerator)
    }

    pub(super) fn negated(self) -> Self {
        Self {
            numerator: -self.numerator,
            ..self
        }
    }

    pub(super) fn inverse(self) -> Option<Self> {
        Self::new(self.denominator, self.numerator)
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        // Over the least common denominator, which overflows later than the product.
        let shared = gcd(self.denominator, other.denominator);
        let (left, right) = (other.denominator / shared, self.denominator / shared);
        let sum =
            (self.numerator.checked_mul(left)?).checked_add(other.numerator.checked_mul(right)?)?;
        Self::new(sum, self.denominator.checked_mul(left)?)
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        // Cancelled first, so that only a result that is too large fails.
        let one = Self::new(self.numerator, other.denominator)?;
        let two = Self::new(other.numerator, self.denominator)?;
        Self::new(
            one.numerator.checked_mul(two.numerator)?,
            one.denominator.checked_mul(two.denominator)?,
        )
    }

    /// `None` also for a negative power of 0, and for 0 to the 0.
    pub(super) fn power(self, exponent: i32) -> Option<Self> {
        if exponent == 0 {
            return (!self.is_zero()).then_some(Self::ONE);
        }
        let base = if exponent < 0 { self.inverse()? } else { self };
        let exponent = exponent.unsigned_abs();
        Self::new(
            base.numerator.checked_pow(exponent)?,
            base.denominator.checked_pow(exponent)?,
        )
    }

    /// The exact root of that degree where there is a rational one.
    pub(super) fn root(self, degree: u32) -> Option<Self> {
        Self::new(
            integer_root(self.numerator, degree)?,
            integer_root(self.denominator, degree)?,
        )
    }
}

impl std::fmt::Display for Rational {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

/// Not negative; 0 for two zeros. Neither may be the least integer.
pub(super) fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The integer whose power is `value`, by bisection.
fn integer_root(value: i128, degree: u32) -> Option<i128> {
    if degree == 0 || (value < 0 && degree.is_multiple_of(2)) {
        return None;
    }
    let size = value.abs();
    let (mut low, mut high) = (0i128, size);
    while low < high {
        let middle = low + (high - low) / 2;
        match middle.checked_pow(degree) {
            Some(power) if power < size => low = middle + 1,
            _ => high = middle,
        }
    }
    (low.checked_pow(degree)? == size).then_some(low * value.signum())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn ratio(numerator: i128, denominator: i128) -> Rational {
        Rational::new(numerator, denominator).unwrap()
    }

    #[test]
    fn fractions_are_in_lowest_terms() {
        assert_eq!(ratio(2, -4), ratio(-1, 2));
        assert_eq!(ratio(0, -7), Rational::ZERO);
        assert_eq!(ratio(6, 3).as_integer(), Some(2));
        assert_eq!(Rational::new(1, 0), None);
        assert_eq!(Rational::new(i128::MIN, 1), None);
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(Rational::decimal("0.50"), Some(ratio(1, 2)));
        assert_eq!(Rational::decimal(".5"), Some(ratio(1, 2)));
        assert_eq!(Rational::decimal("5."), Some(Rational::integer(5)));
        assert_eq!(Rational::decimal("007"), Some(Rational::integer(7)));
        assert_eq!(Rational::decimal("0"), Some(Rational::ZERO));
        for wrong in ["", ".", "1.2.3", "1e3", "-1", "1,000", "٣"] {
            assert_eq!(Rational::decimal(wrong), None, "{wrong}");
        }
        assert_eq!(Rational::decimal(&"9".repeat(50)), None);
    }

    #[test]
    fn roots_are_exact_or_none() {
        assert_eq!(ratio(4, 9).root(2), Some(ratio(2, 3)));
        assert_eq!(ratio(-8, 27).root(3), Some(ratio(-2, 3)));
        assert_eq!(ratio(-4, 1).root(2), None);
        assert_eq!(ratio(2, 1).root(2), None);
        assert_eq!(ratio(i128::MAX, 1).root(2), None);
        assert_eq!(ratio(5, 1).root(0), None);
    }

    #[test]
    fn what_does_not_fit_is_none() {
        let largest = ratio(i128::MAX, 1);
        assert_eq!(largest.plus(Rational::ONE), None);
        assert_eq!(largest.times(Rational::integer(2)), None);
        assert_eq!(Rational::integer(10).power(40), None);
        assert_eq!(Rational::ZERO.power(-1), None);
        assert_eq!(Rational::ZERO.power(0), None);
        assert_eq!(
            largest.times(largest.inverse().unwrap()),
            Some(Rational::ONE)
        );
    }

    proptest! {
        #[test]
        fn sums_and_products_undo(a in -999i128..999, b in 1i128..99, c in -99i128..99, d in 1i128..99) {
            let (x, y) = (ratio(a, b), ratio(c, d));
            prop_assert_eq!(x.plus(y).unwrap().plus(y.negated()), Some(x));
            prop_assert_eq!(x.plus(y), Rational::new(a * d + c * b, b * d));
            prop_assert_eq!(x.times(y), Rational::new(a * c, b * d));
            if c != 0 {
                prop_assert_eq!(x.times(y).unwrap().times(y.inverse().unwrap()), Some(x));
            }
        }
    }
}
