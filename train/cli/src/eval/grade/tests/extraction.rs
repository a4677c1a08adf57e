//! The answers found in outputs.

use super::super::*;
use Benchmark::{Gsm8k, Math};
use Found::{AnswerIs, Box, FinalAnswer, Hashes, LastNumber};

fn check(benchmark: Benchmark, cases: &[(&str, Option<(&str, Found)>)]) {
    for (output, expected) in cases {
        let found = extract(benchmark, output);
        let found = found
            .as_ref()
            .map(|found| (found.text.as_str(), found.found));
        assert_eq!(found, *expected, "{output}");
    }
}

#[test]
fn a_gsm8k_output_states_its_answer() {
    check(
        Gsm8k,
        &[
            ("#### Step 1\nIt is \\boxed{8}.", Some(("8", Box))),
            ("#### 1. Add\n#### 2. Halve\n#### 8", Some(("8", Hashes))),
            ("#### $8 a day", Some(("8", Hashes))),
            ("#### 3 + 5 = 8", Some(("8", Hashes))),
            ("It is 9.\n#### 72", Some(("72", Hashes))),
            ("#### 72\nThe answer is: 73", Some(("73", AnswerIs))),
            ("The answer is 5 * 8 boxes.\n#### 40", Some(("40", Hashes))),
            (
                "The answer is 5. Or not. The answer is 6.",
                Some(("6", AnswerIs)),
            ),
            ("the answer is $1,234.50.", Some(("1,234.50", AnswerIs))),
            ("The answer is -5 degrees", Some(("-5", AnswerIs))),
            ("The answer is: -$5", Some(("-$5", AnswerIs))),
            ("The answer is **18** eggs.", Some(("18", AnswerIs))),
            ("**The answer is**: 18", Some(("18", AnswerIs))),
            ("The answer is:\n\n18", Some(("18", AnswerIs))),
            ("The answer is 3 + 4 = 7.", Some(("7", AnswerIs))),
            ("The answer is 3 + 4 = 7. And 8 = 8.", Some(("7", AnswerIs))),
            ("The answer is x = 7.", Some(("7", AnswerIs))),
            ("The answer is $\\boxed{7}$.", Some(("7", AnswerIs))),
            ("The answer is 3/4 of 8.", Some(("3/4", AnswerIs))),
            ("The answer is therefore 8.", Some(("8", AnswerIs))),
            ("Final Answer: 8", Some(("8", FinalAnswer))),
            (
                "The final answer is 8. I hope it is correct.",
                Some(("8", FinalAnswer)),
            ),
            ("The answer isn't 8 but 9", Some(("9", LastNumber))),
            ("The answer is below.\nIt is 9", Some(("9", LastNumber))),
            ("The answer is below 12, so \\boxed{9}", Some(("9", Box))),
            ("So \\boxed{\\$1{,}000} of 9", Some(("1{,}000", Box))),
            ("She has 3 and then 5.", Some(("5", LastNumber))),
            ("It is 20%...", Some(("20", LastNumber))),
            ("It takes 9-18 eggs", Some(("18", LastNumber))),
            (
                "5\n\nQ: And 6?\nA: The answer is 6.",
                Some(("5", LastNumber)),
            ),
            ("#### 5\nQuestion: 6\n#### 6", Some(("5", Hashes))),
            ("\nQuestion: 6", None),
            ("none", None),
            ("", None),
        ],
    );
}

#[test]
fn a_math_output_states_its_answer() {
    check(
        Math,
        &[
            (r"So $\boxed{\frac{1}{2}}$.", Some((r"\frac{1}{2}", Box))),
            (r"$\boxed{1}$ The answer is: 2", Some(("1", Box))),
            (r"$\boxed{}$ The answer is: 2", Some(("2", AnswerIs))),
            (r"The answer is: \sqrt{5}", Some((r"\sqrt{5}", AnswerIs))),
            (r"The answer is: $\sqrt{5}$.", Some((r"\sqrt{5}", AnswerIs))),
            ("The answer is $$5$$", Some(("5", AnswerIs))),
            ("The answer is $5$ apples.", Some(("5", AnswerIs))),
            ("The answer is $5$ because it fits.", Some(("5", AnswerIs))),
            ("The answer is therefore $5$.", Some(("5", AnswerIs))),
            ("The answer is $1$ or $2$.", Some(("$1$ or $2$", AnswerIs))),
            ("The answer is 3.5 m. So it is.", Some(("3.5 m", AnswerIs))),
            (r"The answer is \$5.", Some((r"\$5", AnswerIs))),
            ("The answer is $5.", Some(("$5", AnswerIs))),
            ("The answer is:\n$5$", Some(("5", AnswerIs))),
            ("The answer is: **(A)**", Some(("(A)", AnswerIs))),
            (
                "The answer is: 1\nThe answer is: 2\nThe answer is:",
                Some(("2", AnswerIs)),
            ),
            (
                "The answer is: $\\begin{pmatrix}\n1 \\\\\n2\n\\end{pmatrix}$.\nDone.",
                Some(("\\begin{pmatrix}\n1 \\\\\n2\n\\end{pmatrix}", AnswerIs)),
            ),
            (
                "Final Answer: The final answer is $[2,5)$. I hope it is correct.",
                Some(("[2,5)", FinalAnswer)),
            ),
            (
                "The final answer is 5. I hope it is correct.",
                Some(("5", FinalAnswer)),
            ),
            ("**Final answer:** $x=5$", Some(("x=5", FinalAnswer))),
            (
                "The final answer is 5. The answer is 6.",
                Some(("6", AnswerIs)),
            ),
            (r"\boxed{5}\n\nProblem:", Some(("5", Box))),
            ("So.\nProblem:\n\\boxed{5}", None),
            ("The answer isn't 5", None),
            ("So it is $5$.", None),
            ("", None),
        ],
    );
}

#[test]
fn golds_are_read_from_solutions() {
    let text = |benchmark, solution| gold(benchmark, solution);
    assert_eq!(text(Gsm8k, "9\n#### 1,072 ").as_deref(), Some("1,072"));
    assert_eq!(text(Gsm8k, "#### 1\n#### 2").as_deref(), Some("2"));
    assert_eq!(
        text(Math, r"$\boxed{1}$, $\boxed{2}$").as_deref(),
        Some("2")
    );
    for broken in ["", "72", "####", "#### none", "#### 1 or 2"] {
        assert_eq!(text(Gsm8k, broken), None, "{broken}");
    }
    for broken in ["", "72", r"\boxed{}", r"\boxed{5"] {
        assert_eq!(text(Math, broken), None, "{broken}");
    }
}

#[test]
fn gsm8k_answers_are_compared_by_value() {
    for (given, gold, expected) in [
        ("72", "72", true),
        ("72.00", "72", true),
        ("$1,072", "1072", true),
        ("1,072 dollars.", "1,072", true),
        ("20%", "20", true),
        ("1/2", "0.5", true),
        ("-5", "5", false),
        ("72", "73", false),
        ("7", "72", false),
        ("1,2", "12", false),
        ("72 or 73", "72", false),
        ("seventy", "70", false),
        ("", "0", false),
        ("9007199254740993", "9007199254740992", false),
        ("0.1", "0.10000000000000000001", false),
    ] {
        assert_eq!(same(Gsm8k, given, gold), expected, "{given}, {gold}");
    }
}
