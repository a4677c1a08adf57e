//! Numbers are found in prose and compared.
#![allow(clippy::unwrap_used)]

use super::*;

fn found(text: &str) -> Vec<&str> {
    numbers(text).map(|n| &text[n.place]).collect()
}

#[test]
fn numbers_are_found() {
    for (text, expected) in [
        ("pays $1,234.50 for 3 pens.", &["1,234.50", "3"][..]),
        (
            "from 10-5 to -5, then $-7 and -$8",
            &["10", "5", "-5", "-7", "-$8"],
        ),
        ("- 5 apples", &["5"]),
        ("1, 2 and 1,2", &["1", "2", "1", "2"]),
        (
            "1,000,000 or 1,00 or 2020,300",
            &["1,000,000", "1", "00", "2020", "300"],
        ),
        (r"1{,}000 and 2,\!500", &["1{,}000", r"2,\!500"]),
        ("3/4 of 8, but 8/4 = 2", &["3/4", "8", "8", "4", "2"]),
        (
            "1 1/2 and 2 5/4 and 1/2/3",
            &["1 1/2", "2", "5/4", "1", "2", "3"],
        ),
        (
            r"\frac{3}{4} and 2\frac{1}{2} and \frac{x}{3}",
            &[r"\frac{3}{4}", r"2\frac{1}{2}", "3"],
        ),
        ("20% of .5 is 0.1.", &["20", ".5", "0.1"]),
        ("1/0 is none", &[]),
        ("12th, x2", &["12", "2"]),
        ("... . -", &[]),
        ("−3", &["−3"]),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn one_number_has_a_value() {
    let value = |text: &str| only(text).unwrap();
    assert_eq!(value("$1,234.50"), value("1234.5 dollars"));
    assert_eq!(value("1 1/2"), value("1.5"));
    assert_eq!(value("-3/6"), value("-0.5"));
    assert_eq!(value("30 cm^2"), value("30"));
    assert_eq!(value("0"), value("-0"));
    assert_ne!(value("5"), value("-5"));
    for text in ["", "none", "5 and 6", "3 + 4 = 7", "1,2"] {
        assert_eq!(only(text), None, "{text}");
    }
}

#[test]
fn long_numbers_are_compared_by_digits() {
    let long = "123456789".repeat(10);
    assert_eq!(only(&long), only(&format!("00{long}.00")));
    assert_ne!(only(&long), only(&format!("{long}.01")));
    assert_ne!(only(&long), only(&format!("-{long}")));
    assert_ne!(only(&long), only(&format!("{long}0")));
    assert_eq!(only(&"1".repeat(LONGEST_ANSWER + 1)), None);
}
