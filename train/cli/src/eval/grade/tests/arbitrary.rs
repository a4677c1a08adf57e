//! Any text is graded, and soon.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::*;

const BOTH: [Benchmark; 2] = [Benchmark::Gsm8k, Benchmark::Math];

/// Pieces of answers and outputs, whole and broken.
const PIECES: [&str; 104] = [
    "1",
    "2",
    "12",
    "0",
    "000",
    "1,000",
    "70,110",
    ".5",
    "3.25",
    "1/2",
    "x",
    "y",
    "i",
    "n",
    "AB",
    "Monday",
    " ",
    "\n",
    ",",
    ";",
    ".",
    "+",
    "-",
    "*",
    "/",
    "=",
    "<",
    ">",
    "^",
    "_",
    "!",
    "&",
    ":",
    "'",
    "|",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\\{",
    "\\}",
    "\\\\",
    "\\",
    "$",
    "\\$",
    "%",
    "\\%",
    "\\frac",
    "\\frac{1}{2}",
    "\\dfrac12",
    "\\sqrt",
    "\\sqrt{2}",
    "\\sqrt[3]",
    "\\pi",
    "\\infty",
    "\\pm",
    "\\cup",
    "\\cdot",
    "\\le",
    "\\ge",
    "\\in",
    "\\left",
    "\\right",
    "\\!",
    "\\,",
    "\\text{",
    "\\text{ cm}^2",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "\\begin{array}{c}",
    "\\sin",
    "\\log_2",
    "^\\circ",
    "^{",
    "_{",
    "\\binom{5}{2}",
    "\\overline{3}",
    "0.\\overline{3}",
    "\\boxed{",
    "\\boxed ",
    "The answer is: ",
    "final answer is ",
    "#### ",
    "\\over",
    "\\choose ",
    "\\mathbf{",
    "\\color{red}",
    "\\hspace{1mm}",
    "\\text{ million}",
    "\\text{ or more}",
    "\\text{ (units)}",
    "<<1+1=2>>",
    " = ",
    " or ",
    " not ",
    "k",
    "€",
    "¢",
    "’",
    "π",
    "é",
    "∞",
];

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(&PIECES[..]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn grade(output: &str, gold_text: &str) {
    for benchmark in BOTH {
        if let Some(extracted) = extract(benchmark, output) {
            assert!(extracted.text.len() <= LONGEST_ANSWER);
            same(benchmark, &extracted.text, gold_text);
        }
        gold(benchmark, output);
        let there = same(benchmark, output, gold_text);
        assert_eq!(there, same(benchmark, gold_text, output), "order matters");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_graded(one in ".{0,200}", two in ".{0,40}") {
        grade(&one, &two);
    }

    #[test]
    fn anything_like_latex_is_graded(one in pieces(), two in pieces()) {
        grade(&one, &two);
    }

    #[test]
    fn an_answer_is_the_same_as_itself(text in pieces()) {
        let text = format!("x{text}");
        prop_assert!(same(Benchmark::Math, &text, &text));
        let formula = format!(" ${text}$ ");
        prop_assert!(same(Benchmark::Math, &formula, &text));
    }

    #[test]
    fn an_empty_answer_is_wrong(gold in pieces()) {
        for benchmark in BOTH {
            prop_assert!(!same(benchmark, "", &gold));
        }
    }

    #[test]
    fn fractions_are_the_same_as_their_values(a in -2000i64..2000, b in 1i64..200, c in -2000i64..2000, d in 1i64..200) {
        let equal = a * d == c * b;
        for (one, two) in [
            (format!("{a}/{b}"), format!(r"\frac{{{c}}}{{{d}}}")),
            (format!(r"-\frac{{{a}}}{{{b}}}"), format!(r"\dfrac{{{}}}{{{d}}}", -c)),
            (format!(r"\left(\frac{{{a}}}{{{b}}},2\right]"), format!("({c}/{d}, 2]")),
            (format!(r"\frac{{{a}\pi}}{{{b}}}+\sqrt{{3}}"), format!(r"\sqrt3+\frac{{{c}}}{{{d}}}\pi")),
        ] {
            prop_assert_eq!(same(Benchmark::Math, &one, &two), equal, "{} {}", one, two);
        }
    }

    #[test]
    fn decimals_are_the_same_as_their_values(a in -100_000i64..100_000, b in -100_000i64..100_000) {
        let decimal = |n: i64| format!("{}{}.{:03}", if n < 0 { "-" } else { "" }, n.abs() / 1000, n.abs() % 1000);
        for benchmark in BOTH {
            prop_assert_eq!(same(benchmark, &decimal(a), &decimal(b)), a == b);
            let (formula, fraction) = (format!("${}$", decimal(a)), format!("{a}/1000"));
            prop_assert!(same(benchmark, &decimal(a), &formula));
            prop_assert!(same(benchmark, &decimal(a), &fraction));
        }
    }

    #[test]
    fn roots_are_the_same_as_their_squares_say(a in 1i64..60, b in 1i64..200, c in 1i64..60, d in 1i64..200) {
        let (one, two) = (format!(r"{a}\sqrt{{{b}}}"), format!(r"{c}\sqrt{{{d}}}"));
        prop_assert_eq!(same(Benchmark::Math, &one, &two), a * a * b == c * c * d);
        let inverse = format!(r"\frac{{{}}}{{{a}\sqrt{{{b}}}}}", a * a * b);
        prop_assert!(same(Benchmark::Math, &inverse, &one), "{}", inverse);
    }

    #[test]
    fn lists_are_compared_in_any_order(mut items in prop::collection::vec(-99i64..99, 2..9), by in 1usize..8) {
        let text = |items: &[i64], brackets: [&str; 2]| {
            let items: Vec<_> = items.iter().map(i64::to_string).collect();
            [brackets[0], &items.join(", "), brackets[1]].concat()
        };
        let before = items.clone();
        let count = items.len();
        items.rotate_left(by % count);
        for (brackets, ordered) in [(["", ""], false), (["\\{", "\\}"], false), (["(", ")"], true)] {
            let is = same(Benchmark::Math, &text(&before, brackets), &text(&items, brackets));
            prop_assert_eq!(is, !ordered || before == items);
        }
        items[0] += 1000;
        let changed = text(&items, ["", ""]);
        prop_assert!(!same(Benchmark::Math, &text(&before, ["", ""]), &changed));
    }
}

/// What could take long: deep, wide, or read again and again.
const REPEATED: [&str; 46] = [
    "(",
    "{",
    "[",
    "\\{",
    ")",
    "}",
    "(1+\\sqrt2)",
    "(1+\\sqrt2+\\sqrt3+\\sqrt5+\\sqrt7)^9",
    "\\sqrt",
    "\\sqrt{",
    "\\frac",
    "\\frac{",
    "\\frac{1}{",
    "x_",
    "x^",
    "x_{",
    "9^",
    "\\sin ",
    "-",
    "1,",
    "1, ",
    "111,",
    "111/",
    "1/",
    "\\pm",
    "\\pm 1,",
    "(x+1)(",
    "\\text{",
    "\\text{a}^2",
    "\\begin{pmatrix}",
    "\\begin{array}",
    "1\\\\",
    "\\boxed",
    "\\boxed{",
    "\\boxed 5 ",
    "The answer is ",
    "The answer is: x ",
    "#### ",
    "\nQ",
    "The answer is 1 + $",
    "1 + ",
    "1a",
    "|",
    "<<1",
    "\\text{cm}(",
    "$",
];

/// What takes a second at most here; a quadratic step would take many minutes.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn nothing_takes_long() {
    for piece in REPEATED {
        for end in ["", "1", "}", ",1"] {
            let answer = piece.repeat(LONGEST_ANSWER / piece.len() - 1) + end;
            let begun = Instant::now();
            for benchmark in BOTH {
                same(benchmark, &answer, &format!("{answer}2"));
            }
            let took = begun.elapsed();
            assert!(took < LIMIT, "{piece:?}, {end:?}: {took:?}");
        }
        let output = piece.repeat(1_000_000 / piece.len()) + "1";
        let begun = Instant::now();
        for benchmark in BOTH {
            gold(benchmark, &output);
            extract(benchmark, &output);
        }
        let took = begun.elapsed();
        assert!(took < LIMIT, "{piece:?}: {took:?}");
    }
}

#[test]
fn what_is_too_long_is_no_answer() {
    let long = "1".repeat(LONGEST_ANSWER + 1);
    for benchmark in BOTH {
        assert!(!same(benchmark, &long, &long));
        assert!(same(benchmark, &long[1..], &long[1..]));
        assert_eq!(extract(benchmark, &format!(r"\boxed{{{long}}}")), None);
    }
}
