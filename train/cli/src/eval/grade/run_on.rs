//! Where an output goes on with a question of its own.

/// Tokens that end a text, where they were decoded as text.
const ENDS: [&str; 6] = [
    "</s>",
    "<|im_end|>",
    "<|im_start|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
];

/// What a line begins with, before a colon, that asks the next question.
const QUESTIONS: [&str; 6] = ["Question", "Q", "Problem", "Instruction", "User", "Human"];

/// How the Alpaca template begins.
const TEMPLATE: &str = "Below is an instruction that describes a task";

/// The output up to the first end token or the first line, but for the one it begins in, that asks
/// a question.
pub(super) fn before_next_question(output: &str) -> &str {
    let ends = ENDS.iter().filter_map(|end| output.find(end));
    let output = &output[..ends.min().unwrap_or(output.len())];
    let breaks = output.match_indices('\n').map(|(at, _)| at);
    let question = breaks.into_iter().find(|&at| asks(&output[at + 1..]));
    &output[..question.unwrap_or(output.len())]
}

/// Whether the text begins with `Question:`, `**Q:**`, `### Instruction:`. Not so `Question 2:`,
/// with which a solution may answer the parts of its own question.
fn asks(text: &str) -> bool {
    let line = text.trim_start_matches([' ', '\t', '*', '#']);
    let question = |word: &&str| {
        let rest = line.strip_prefix(*word);
        rest.is_some_and(|rest| rest.trim_start_matches(' ').starts_with(':'))
    };
    line.starts_with(TEMPLATE) || QUESTIONS.iter().any(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_question_is_cut_off() {
        for (output, kept) in [
            ("It is 5.\n\nQ: What is 6?", "It is 5.\n"),
            ("It is 5.\nQuestion: What is 6?", "It is 5."),
            ("It is 5.\n**Question:** 6?", "It is 5."),
            ("5\n### Instruction:\nAdd 6.", "5"),
            ("5\n\nProblem:\nFind 6.", "5\n"),
            ("5</s><s>6", "5"),
            ("5\nBelow is an instruction that describes a task.", "5"),
        ] {
            assert_eq!(before_next_question(output), kept, "{output}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_kept() {
        for output in [
            "Question: is it 5?",
            "The question: 5",
            "5\nQuestions: none",
            "Question 1: yes\nQuestion 2: no\n1",
            "5\n### Step 2",
            "",
            "5\nQ",
        ] {
            assert_eq!(before_next_question(output), output);
        }
    }
}
