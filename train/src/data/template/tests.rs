#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn row(instruction: &str, input: &str, response: &str) -> Row {
    Row {
        instruction: instruction.into(),
        input: input.into(),
        response: response.into(),
        index: 0,
    }
}

fn custom(text: &str) -> Template {
    Template::parse(text, "mine.txt").unwrap()
}

fn problems(text: &str) -> Vec<TemplateProblem> {
    match Template::parse(text, "mine.txt") {
        Err(TemplateError::Invalid { problems, .. }) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn alpaca_without_and_with_input() {
    let template = Template::default();
    assert_eq!(
        template.prompt(&row("Add 1 and 2.", "", "3")),
        "Below is an instruction that describes a task. Write a response that appropriately \
         completes the request.\n\n### Instruction:\nAdd 1 and 2.\n\n### Response:"
    );
    assert_eq!(
        template.prompt(&row("Add.", "1, 2", "3")),
        "Below is an instruction that describes a task, paired with an input that provides \
         further context. Write a response that appropriately completes the request.\n\n\
         ### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:"
    );
    assert_eq!(template.completion(&row("Add.", "1, 2", "3")), "3");
}

#[test]
fn plain_adds_nothing() {
    let row = row("Add: ", "1, 2", "3");
    assert_eq!(Template::Plain.prompt(&row), "Add: 1, 2");
    assert_eq!(Template::Plain.completion(&row), "3");
}

#[test]
fn a_custom_template_has_a_prompt_and_a_trained_suffix() {
    let template = custom("Q: {instruction}\n{input}\n{{A}}: {response}\n<|EOT|>\n");
    let row = row("why?", "", "so");
    assert_eq!(template.prompt(&row), "Q: why?\n\n{A}: ");
    assert_eq!(template.completion(&row), "so\n<|EOT|>");
    assert!(template.uses_input());
    assert!(!custom("{instruction}{response}").uses_input());
}

#[test]
fn line_breaks_of_an_editor_are_not_trained() {
    assert_eq!(custom("{instruction}\r\n{response}\r\n").suffix(), "");
    assert_eq!(custom("{instruction}\n{response}\n\n").suffix(), "\n");
}

#[test]
fn an_error_lists_every_problem() {
    assert_eq!(
        problems("{system}\n{question} }"),
        [
            TemplateProblem::Unknown {
                name: "system".into(),
                line: 1
            },
            TemplateProblem::Unknown {
                name: "question".into(),
                line: 2
            },
            TemplateProblem::LoneBrace {
                brace: '}',
                line: 2
            },
            TemplateProblem::Missing("instruction"),
            TemplateProblem::Missing("response"),
        ]
    );
    assert_eq!(
        problems("{instruction}{response}\n{response}{input}{"),
        [
            TemplateProblem::RepeatedResponse { line: 2 },
            TemplateProblem::AfterResponse {
                name: "input",
                line: 2
            },
            TemplateProblem::LoneBrace {
                brace: '{',
                line: 2
            },
        ]
    );
    let message = Template::parse("{a}", "mine.txt").unwrap_err().to_string();
    assert!(message.contains("mine.txt"), "{message}");
    assert!(message.contains("'{a}'"), "{message}");
    assert!(
        message.contains("missing placeholder '{response}'"),
        "{message}"
    );
}

#[test]
fn an_instruction_only_after_the_response_is_an_error() {
    assert_eq!(
        problems("{response}{instruction}"),
        [TemplateProblem::AfterResponse {
            name: "instruction",
            line: 1
        }]
    );
}

#[test]
fn load_takes_a_name_or_a_file() {
    assert_eq!(Template::load("alpaca").unwrap(), Template::Alpaca);
    assert_eq!(Template::load("plain").unwrap(), Template::Plain);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.txt");
    fs::write(&path, "{instruction}->{response}.").unwrap();
    let template = Template::load(path.to_str().unwrap()).unwrap();
    assert_eq!(template.prompt(&row("a", "", "b")), "a->");
    assert_eq!(template.to_string(), path.to_str().unwrap());
    let message = Template::load("alpacca").unwrap_err().to_string();
    assert!(
        message.contains("alpacca") && message.contains("plain"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn text_of_a_row_is_never_expanded_again(
        instruction in "[{}a-z]{0,8}|\\{input\\}|\\{response\\}|\\{\\{",
        input in "[{}a-z]{0,8}|\\{instruction\\}|\\{response\\}",
        response in "[{}a-z]{0,8}|\\{instruction\\}|\\}\\}",
    ) {
        let row = row(&instruction, &input, &response);
        let template = custom("<{instruction}|{input}>{response}!");
        prop_assert_eq!(template.prompt(&row), format!("<{instruction}|{input}>"));
        prop_assert_eq!(template.completion(&row), format!("{response}!"));
    }

    #[test]
    fn any_text_is_a_template_or_an_error(text in "([{}]|instruction|response|\\PC|\n){0,20}") {
        let _ = Template::parse(&text, "any");
    }
}
