//! The answers that each rule finds.

#![allow(clippy::unwrap_used)]

use Benchmark::{Gsm8k, Math};
use bone_grade::{Benchmark, Rule, gold, grade, same};

fn check(benchmark: Benchmark, rule: Rule, cases: &[(&str, Option<&str>)]) {
    for (output, expected) in cases {
        let found = grade(benchmark, rule, output, "1").answer;
        assert_eq!(found.as_deref(), *expected, "{rule}: {output:?}");
    }
}

#[test]
fn boxed_takes_the_last_box() {
    check(
        Math,
        Rule::Boxed,
        &[
            (r"So $\boxed{\frac{1}{2}}$.", Some(r"\frac{1}{2}")),
            (r"$\boxed{1}$ or $\boxed{2}$. The answer is: 3", Some("2")),
            (r"\fbox{3}", Some("3")),
            (r"\fbox{3} \boxed{4}", Some("4")),
            (r"It is $\boxed 5$.", Some("5")),
            (r"\boxed{\{1,2\}}", Some(r"\{1,2\}")),
            ("\\boxed{5}\n\nProblem:\n\\boxed{6}", Some("5")),
            (r"\boxed{5}</s>\boxed{6}", Some("5")),
            (r"\boxed{5", None),
            (r"\boxed{}", None),
            (r"\boxed", None),
            (r"}}\boxedx{2}", None),
            ("", None),
        ],
    );
}

#[test]
fn boxed_falls_back_to_answer_phrase() {
    check(
        Math,
        Rule::Boxed,
        &[
            (r"The answer is: \sqrt{5}", Some(r"\sqrt{5}")),
            (r"The answer is: $\sqrt{5}$.", Some(r"\sqrt{5}")),
            (r"The answer is $\sqrt{5}$. It fits.", Some(r"\sqrt{5}")),
            ("The answer is $$5$$", Some("5")),
            ("The answer is $5$ apples.", Some("5")),
            ("The answer is 3.5 m. So it is.", Some("3.5 m")),
            (r"The answer is \$5.", Some(r"\$5")),
            ("The answer is:\n$5$", Some("5")),
            ("**The answer is**: **(A)**", Some("(A)")),
            ("The answer is: 1\nThe answer is: 2\nBye", Some("2")),
            (
                "The answer is: $\\begin{pmatrix}\n1 \\\\\n2\n\\end{pmatrix}$.\nDone.",
                Some("\\begin{pmatrix}\n1 \\\\\n2\n\\end{pmatrix}"),
            ),
            ("The final answer is $[2,5)$. I hope it is.", Some("[2,5)")),
            (r"$\boxed{}$ The answer is: 2", Some("2")),
            ("The answer is:", None),
            ("The answer isn't 5", None),
            ("So it is $5$.", None),
        ],
    );
}

#[test]
fn hendrycks_math_takes_text_between_dollar_signs() {
    check(
        Math,
        Rule::HendrycksMath,
        &[
            ("It is $5$.", Some("5")),
            ("$x$ is $5$.", Some("x$ is $5")),
            ("5", Some("5")),
            ("It is $5", Some("It is $5")),
            ("$$", None),
            ("5\nProblem: $6$", Some("5\n")),
            ("", None),
        ],
    );
}

#[test]
fn strict_match_takes_number_after_first_hashes() {
    check(
        Gsm8k,
        Rule::StrictMatch,
        &[
            ("It is 9.\n#### 72", Some("72")),
            ("#### 1,072.50 dollars", Some("1,072.50")),
            ("#### -5\n#### 6", Some("-5")),
            (r"#### 9\,500", Some("9500")),
            ("\nQuestion: 6\n#### 6", None),
            ("####72", None),
            ("#### $72", None),
            ("The answer is: 72", None),
        ],
    );
}

#[test]
fn flexible_extract_takes_the_last_number() {
    check(
        Gsm8k,
        Rule::FlexibleExtract,
        &[
            ("It is 9.\n#### 72", Some("72")),
            ("The answer is: 72", Some("72")),
            ("She has 3 and then $1,234.50.", Some("$1,234.50.")),
            ("9-18 eggs", Some("-18")),
            (r"It is $\boxed{5}$.", Some("$.")),
            ("5\nQuestion: and 6?", Some("5")),
            ("five", None),
            (r"\boxed{9\,500}", Some("9500")),
            (r"So it costs 9\,500 dollars.", Some("9500")),
            (r"1{,}234{,}567 in all", Some("1234567")),
            (r"2,\!500", Some("2500")),
            (r"9\,50", Some(",50")),
        ],
    );
}

#[test]
fn metamath_takes_text_after_its_phrase() {
    check(
        Math,
        Rule::Metamath,
        &[
            (
                r"\boxed{1} The answer is: \frac{1}{2}",
                Some(r"\frac{1}{2}"),
            ),
            ("The answer is: 1\nThe answer is: 2.", Some("2")),
            ("The answer is: 5.\nIt fits", Some("5")),
            (
                "The answer is: 5\n\n### Instruction:\nNext",
                Some("5\n\n###"),
            ),
            ("The answer is 5", None),
            (r"\boxed{5}", None),
        ],
    );
    check(
        Gsm8k,
        Rule::Metamath,
        &[
            ("5 + 6 = 11\nThe answer is: 72", Some("72")),
            ("The answer is: $1,234.", Some("1234")),
            ("The answer is: 1,234,567", Some("1234")),
            ("The answer is: -7.5 degrees", Some("-8")),
            ("The answer is: 2.5", Some("2")),
            ("The answer is: -0.2", Some("0")),
            ("The answer is: 36/2 eggs", Some("18")),
            ("The answer is: 7/0", Some("7")),
            ("The answer is: 7/00", None),
            ("The answer is: /5", None),
            ("The answer is: none", None),
            ("#### 72", None),
        ],
    );
    let long = format!("The answer is: {}", "9".repeat(400));
    assert_eq!(grade(Gsm8k, Rule::Metamath, &long, "9").answer, None);
}

#[test]
fn think_blocks_contain_no_answer() {
    for (output, expected) in [
        ("<think>It is 5 or 6.</think>It is 7.", Some("7.")),
        ("<think>5</think>7<think>8</think> eggs", Some("7")),
        ("It is 5. No: 6.</think>It is 7.", Some("7.")),
        ("<think><think>5</think>6</think>7", Some("7")),
        ("7<think>or 8", Some("7")),
        ("<think>Question: 5</think>7", Some("7")),
        ("<think>It is 5.", None),
        ("<think>It is 5.</think>", None),
    ] {
        let verdict = grade(Gsm8k, Rule::FlexibleExtract, output, "7");
        assert_eq!(verdict.answer.as_deref(), expected, "{output}");
        assert_eq!(verdict.correct, expected.is_some(), "{output}");
    }
    let boxed = r"<think>\boxed{5}</think> So it is $\boxed{7}$.";
    assert!(grade(Math, Rule::Boxed, boxed, "7").correct);
}

#[test]
fn golds_are_read_from_solutions() {
    let text = |benchmark, solution| gold(benchmark, solution);
    assert_eq!(text(Gsm8k, "9\n#### 1,072 ").as_deref(), Some("1,072"));
    assert_eq!(text(Gsm8k, "#### 1\n#### 2").as_deref(), Some("2"));
    let boxes = r"$\boxed{1}$, $\boxed{2}$";
    assert_eq!(text(Math, boxes).as_deref(), Some("2"));
    for broken in ["", "72", "####", "#### none"] {
        assert_eq!(text(Gsm8k, broken), None, "{broken}");
    }
    for broken in ["", "72", r"\boxed{}", r"\boxed{5"] {
        assert_eq!(text(Math, broken), None, "{broken}");
    }
}

#[test]
fn gsm8k_answers_are_compared_without_commas_and_dollars() {
    for (given, gold, expected) in [
        ("72", "72", true),
        ("$1,072.", "1072", true),
        ("1072", "1,072", true),
        ("72.0", "72", false),
        ("-5", "5", false),
        ("72..", "72", false),
        ("", "0", false),
        ("9007199254740993", "9007199254740992", false),
    ] {
        assert_eq!(same(Gsm8k, given, gold), expected, "{given}, {gold}");
    }
}

#[test]
fn math_answers_are_compared_in_a_normal_form() {
    for (given, gold, expected) in [
        ("0.5", r"\frac{1}{2}", true),
        ("1/2", r"\dfrac12", true),
        (r"\tfrac{3}{5}", r"\frac35", true),
        (r"\left( 3, -7 \right)", "(3,-7)", true),
        (r"7\text{ cm}^2", "7", true),
        (r"40\%", "40", true),
        (r"65^{\circ}", r"65^\circ", true),
        (r"\$4.50", "4.50", true),
        (".7", "0.7", true),
        (r"4\sqrt3", r"4\sqrt{3}", true),
        ("x = 17", "17", true),
        (r"10,\!000", "10,000", true),
        (r"\frac{2}{4}", r"\frac{1}{2}", false),
        ("17.0", "17", false),
        ("2,1", "1,2", false),
        ("xyz=17", "17", false),
        (r"7\text{cm}", "7", false),
        ("a/b", "a/b", true),
        ("a / b", "a/b", false),
        (r"1\text{ m}\text{ s}", r"1\text{ m}\text{ s}", true),
        (r"1\text{ m}\text{ s}", "1", false),
    ] {
        assert_eq!(same(Math, given, gold), expected, "{given}, {gold}");
    }
}

#[test]
fn rule_names_parse_back() {
    for rule in Rule::ALL {
        assert_eq!(rule.name().parse(), Ok(rule));
        let json = serde_json::to_string(&rule).unwrap();
        assert_eq!(json, format!("\"{rule}\""));
        assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
    }
    let unknown = "algebra".parse::<Rule>().unwrap_err();
    assert!(unknown.to_string().contains("flexible-extract"));
    for benchmark in [Gsm8k, Math] {
        let json = serde_json::to_string(&benchmark).unwrap();
        assert_eq!(json, format!("\"{}\"", benchmark.name()));
    }
}
