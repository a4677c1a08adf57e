//! Formulas made at random, whose values are also worked out in floating point.

use proptest::prelude::*;

use super::super::*;

/// A complex number.
type Value = (f64, f64);

/// What `x` is; no formula this small gives the same as another by chance.
const X: f64 = 1.234_567_891_011;

#[derive(Debug, Clone)]
enum Formula {
    Number(u8),
    X,
    Pi,
    I,
    Sum(Box<Formula>, Box<Formula>),
    Difference(Box<Formula>, Box<Formula>),
    Product(Box<Formula>, Box<Formula>),
    Fraction(Box<Formula>, Box<Formula>),
    Root(Box<Formula>),
    Power(Box<Formula>, i8),
}

fn formula() -> impl Strategy<Value = Formula> {
    use Formula::*;
    let leaf = prop_oneof![
        6 => (0u8..7).prop_map(Number),
        2 => Just(X),
        1 => Just(Pi),
        1 => Just(I),
    ];
    let roots = |inner: BoxedStrategy<Formula>| inner.prop_map(|a| Root(Box::new(a))).boxed();
    of(leaf.boxed(), roots)
}

/// With no other leaves than numbers and no roots.
fn rational() -> impl Strategy<Value = Formula> {
    of((0u8..7).prop_map(Formula::Number).boxed(), |inner| inner)
}

/// Sums, differences and products of numbers and one variable.
fn polynomial() -> impl Strategy<Value = Formula> {
    use Formula::*;
    let leaf = prop_oneof![2 => (0u8..7).prop_map(Number), 1 => Just(X)];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let two = (inner.clone(), inner).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        prop_oneof![
            two.clone().prop_map(|(a, b)| Sum(a, b)),
            two.clone().prop_map(|(a, b)| Difference(a, b)),
            two.prop_map(|(a, b)| Product(a, b)),
        ]
    })
}

fn of(
    leaf: BoxedStrategy<Formula>,
    roots: impl Fn(BoxedStrategy<Formula>) -> BoxedStrategy<Formula> + 'static,
) -> impl Strategy<Value = Formula> {
    use Formula::*;
    leaf.prop_recursive(3, 12, 2, move |inner| {
        let two = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        prop_oneof![
            two.clone().prop_map(|(a, b)| Sum(a, b)),
            two.clone().prop_map(|(a, b)| Difference(a, b)),
            two.clone().prop_map(|(a, b)| Product(a, b)),
            two.prop_map(|(a, b)| Fraction(a, b)),
            roots(inner.clone().boxed()),
            (inner, -2i8..4).prop_map(|(a, n)| Power(Box::new(a), n)),
        ]
    })
}

impl Formula {
    fn latex(&self) -> String {
        use Formula::*;
        match self {
            Number(n) => n.to_string(),
            X => "x".to_owned(),
            Pi => r"\pi ".to_owned(),
            I => "i".to_owned(),
            Sum(a, b) => format!("{}+{}", a.latex(), b.factor()),
            Difference(a, b) => format!("{}-{}", a.latex(), b.factor()),
            Product(a, b) => format!(r"{}\cdot {}", a.factor(), b.factor()),
            Fraction(a, b) => format!(r"\frac{{{}}}{{{}}}", a.latex(), b.latex()),
            Root(a) => format!(r"\sqrt{{{}}}", a.latex()),
            Power(a, n) => format!("({})^{{{n}}}", a.latex()),
        }
    }

    fn factor(&self) -> String {
        match self {
            Self::Sum(..) | Self::Difference(..) => format!("({})", self.latex()),
            _ => self.latex(),
        }
    }

    fn value(&self) -> Value {
        use Formula::*;
        match self {
            Number(n) => (f64::from(*n), 0.0),
            X => (self::X, 0.0),
            Pi => (std::f64::consts::PI, 0.0),
            I => (0.0, 1.0),
            Sum(a, b) => add(a.value(), b.value()),
            Difference(a, b) => add(a.value(), times((-1.0, 0.0), b.value())),
            Product(a, b) => times(a.value(), b.value()),
            Fraction(a, b) => times(a.value(), inverse(b.value())),
            Root(a) => root(a.value()),
            Power(a, n) => power(a.value(), *n),
        }
    }

    /// The same formula with its sums and products turned.
    fn turned(&self) -> Self {
        use Formula::*;
        let turn = |a: &Self| Box::new(a.turned());
        match self {
            Sum(a, b) => Sum(turn(b), turn(a)),
            Difference(a, b) => Difference(turn(a), turn(b)),
            Product(a, b) => Product(turn(b), turn(a)),
            Fraction(a, b) => Fraction(turn(a), turn(b)),
            Root(a) => Root(turn(a)),
            Power(a, n) => Power(turn(a), *n),
            leaf => leaf.clone(),
        }
    }
}

fn add(a: Value, b: Value) -> Value {
    (a.0 + b.0, a.1 + b.1)
}

fn times(a: Value, b: Value) -> Value {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

fn inverse(a: Value) -> Value {
    let square = a.0 * a.0 + a.1 * a.1;
    (a.0 / square, -a.1 / square)
}

fn root(a: Value) -> Value {
    // A zero from a difference has either sign, which must not choose the branch.
    let imaginary = if a.1 == 0.0 { 0.0 } else { a.1 };
    let (size, angle) = (a.0.hypot(imaginary).sqrt(), imaginary.atan2(a.0) / 2.0);
    (size * angle.cos(), size * angle.sin())
}

fn power(a: Value, exponent: i8) -> Value {
    let size = a.0.abs() + a.1.abs();
    if exponent == 0 && (size < 1e-9 || !size.is_finite()) {
        // 0 to the 0 is no value.
        return (f64::NAN, 0.0);
    }
    let base = if exponent < 0 { inverse(a) } else { a };
    (0..exponent.unsigned_abs()).fold((1.0, 0.0), |product, _| times(product, base))
}

/// `None` where rounding, or a division by something that is 0, leaves no value to compare.
fn near(a: Value, b: Value) -> Option<bool> {
    let difference = (a.0 - b.0).abs() + (a.1 - b.1).abs();
    let usable = [a, b].iter().all(|v| {
        let size = v.0.abs() + v.1.abs();
        // 5⁻¹⁸ is not 0, though near it.
        size < 1e6 && (size == 0.0 || size > 1e-4)
    });
    usable.then_some(difference < 1e-8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn formulas_that_are_the_same_have_the_same_value(one in formula(), two in formula()) {
        let (a, b) = (one.latex(), two.latex());
        if same(Benchmark::Math, &a, &b) && a != b {
            prop_assert_ne!(near(one.value(), two.value()), Some(false), "{} {}", a, b);
        }
    }

    #[test]
    fn rational_numbers_are_the_same_where_their_values_are(one in rational(), two in rational()) {
        let (a, b) = (one.latex(), two.latex());
        let is = same(Benchmark::Math, &a, &b);
        if let Some(equal) = near(one.value(), two.value()) {
            prop_assert_eq!(is, equal, "{} {}", a, b);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn sums_and_products_may_be_turned(formula in polynomial()) {
        let (a, b) = (formula.latex(), formula.turned().latex());
        prop_assert!(same(Benchmark::Math, &a, &b), "{} {}", a, b);
    }
}
