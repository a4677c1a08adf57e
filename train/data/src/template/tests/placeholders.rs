//! Templates for one question: alpaca, plain and custom ones.

use super::super::parse::parse;
use super::*;

fn custom(text: &str) -> Template {
    Template::parse(text, "mine.txt").unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).unwrap_err();
    let error = Template::parse(text, "mine.txt").unwrap_err();
    let all = format!("template 'mine.txt': {}", problems.join("; "));
    assert_eq!(error.to_string(), all);
    problems
}

/// Returns the two texts of a row: the context, and the trained text before the end token.
#[track_caller]
fn texts(template: &Template, row: &Content) -> (String, String) {
    let pieces = template.pieces(row).unwrap();
    match &pieces[..] {
        [
            Piece::Bos,
            Piece::Text {
                text: prompt,
                trained: false,
            },
            Piece::Text {
                text: completion,
                trained: true,
            },
            Piece::Eos { trained: true },
        ] => {
            let read = template.prompt_of(row).unwrap();
            assert_eq!(read, [Piece::Bos, Piece::read(prompt.as_str())]);
            (prompt.clone(), completion.clone())
        }
        other => panic!("{other:?}"),
    }
}

const ALPACA: &str = "Below is an instruction that describes a task. Write a response that \
    appropriately completes the request.\n\n### Instruction:\nAdd 1 and 2.\n\n### Response:";

#[test]
fn alpaca_renders_with_and_without_input() {
    let template = Template::default();
    let (prompt, completion) = texts(&template, &single("Add 1 and 2.", "", "3"));
    assert_eq!((prompt.as_str(), completion.as_str()), (ALPACA, "3"));
    let (prompt, completion) = texts(&template, &single("Add.", "1, 2", "3"));
    assert_eq!(
        prompt,
        "Below is an instruction that describes a task, paired with an input that provides \
         further context. Write a response that appropriately completes the request.\n\n\
         ### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:"
    );
    assert_eq!(completion, "3");
    assert!(template.stops().is_empty());
}

#[test]
fn missing_template_file_is_named() {
    let error = Template::load("nope.jinja", None).unwrap_err().to_string();
    assert!(
        error.starts_with("template 'nope.jinja': file not found; choose alpaca"),
        "{error}"
    );
}

#[test]
fn plain_template_adds_no_text() {
    let (prompt, completion) = texts(&Template::Plain, &single("Add: ", "1, 2", "3"));
    assert_eq!((prompt.as_str(), completion.as_str()), ("Add: 1, 2", "3"));
}

#[test]
fn a_custom_template_has_a_prompt_and_a_trained_suffix() {
    let template = custom("Q: {instruction}\n{input}\n{{A}}: {response}\n<|EOT|>\n");
    let (prompt, completion) = texts(&template, &single("why?", "", "so"));
    assert_eq!(prompt, "Q: why?\n\n{A}: ");
    assert_eq!(completion, "so\n<|EOT|>");
    assert!(template.uses_input());
    assert!(!custom("{instruction}{response}").uses_input());
}

#[test]
fn final_line_break_is_not_trained() {
    let row = single("q", "", "");
    assert_eq!(
        texts(&custom("{instruction}\r\n{response}\r\n"), &row).1,
        ""
    );
    assert_eq!(
        texts(&custom("{instruction}\n{response}\n\n"), &row).1,
        "\n"
    );
}

#[test]
fn single_question_templates_accept_short_chats() {
    let turns = [('u', "Add 1 and 2."), ('a', "3")];
    assert_eq!(
        chat(&Template::Alpaca, &turns),
        format!("<bos>{ALPACA}«3»«<eos>»")
    );
    assert_eq!(
        prompt(&Template::Alpaca, &turns[..1]),
        format!("<bos>{ALPACA}")
    );
    let turns = [('s', "Be brief."), ('u', "Why?"), ('a', "So.")];
    assert_eq!(
        chat(&Template::Plain, &turns),
        "<bos>Be brief.\n\nWhy?«So.»«<eos>»"
    );
    let own = custom("{instruction}->{response}.");
    assert_eq!(chat(&own, &turns), "<bos>Be brief.\n\nWhy?->«So..»«<eos>»");
    assert_eq!(prompt(&own, &turns[..2]), "<bos>Be brief.\n\nWhy?->");
    // Messages after the last answer are dropped.
    let turns = [('u', "Why?"), ('a', "So."), ('u', "Thanks.")];
    assert_eq!(chat(&Template::Plain, &turns), "<bos>Why?«So.»«<eos>»");
}

#[test]
fn longer_chat_error_names_chat_templates() {
    let long = [('u', "1"), ('a', "2"), ('u', "3"), ('a', "4")];
    for template in [
        Template::Alpaca,
        Template::Plain,
        custom("{instruction}{response}"),
    ] {
        let message = error(&template, &long).to_string();
        for part in [
            &template.to_string(),
            "user, assistant, user",
            "rwkv",
            "llama2-chat",
            "chatml",
            ".jinja",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert!(template.prompt(&messages(&long[..3])).is_err());
        for turns in [
            &[('t', "1"), ('a', "2")][..],
            &[('a', "2")],
            &[('s', "1"), ('s', "1"), ('u', "2"), ('a', "3")],
        ] {
            let error = error(&template, turns);
            assert!(matches!(error, RenderError::SingleTurn(_)));
        }
    }
    let many: Vec<_> = (0..50).flat_map(|_| [('u', "q"), ('a', "a")]).collect();
    let message = error(&Template::Alpaca, &many).to_string();
    assert!(message.contains("and 89 more"), "{message}");
}

#[test]
fn placeholder_error_lists_every_problem() {
    let listed = |text: &str, expected: &[&str]| {
        let found = problems(text);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "no {expected} in: {found}");
        }
    };
    listed(
        "{system}\n{question} }",
        &[
            "line 1: unknown placeholder '{system}'",
            "line 2: unknown placeholder '{question}'",
            "line 2: a single '}' (write }} ",
            "missing placeholder '{instruction}'",
            "missing placeholder '{response}'",
        ],
    );
    listed(
        "{instruction}{response}\n{response}{input}{",
        &[
            "line 2: '{response}' must occur only once",
            "line 2: '{input}' must come before '{response}'",
            "line 2: a single '{' (write {{ ",
        ],
    );
    let unknown = problems("{system}").remove(0);
    for known in ["{instruction}", "{input}", "{response}", "{{", "}}"] {
        assert!(unknown.contains(known), "no {known} in: {unknown}");
    }
    let message = Template::parse("{a}", "mine.txt").unwrap_err().to_string();
    assert!(message.contains("mine.txt"), "{message}");
    assert!(message.contains("'{a}'"), "{message}");
    assert!(
        message.contains("missing placeholder '{response}'"),
        "{message}"
    );
}

#[test]
fn instruction_after_response_is_rejected() {
    assert_eq!(
        problems("{response}{instruction}"),
        ["line 1: '{instruction}' must come before '{response}'"]
    );
}

#[test]
fn a_file_is_loaded_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.txt");
    fs::write(&path, "{instruction}->{response}.").unwrap();
    let template = Template::load(path.to_str().unwrap(), None).unwrap();
    assert_eq!(
        texts(&template, &single("a", "", "b")),
        ("a->".into(), "b.".into())
    );
    assert_eq!(template.to_string(), path.to_str().unwrap());
}

proptest! {
    #[test]
    fn text_of_a_row_is_never_expanded_again(
        instruction in "[{}a-z]{0,8}|\\{input\\}|\\{response\\}|\\{\\{",
        input in "[{}a-z]{0,8}|\\{instruction\\}|\\{response\\}",
        response in "[{}a-z]{0,8}|\\{instruction\\}|\\}\\}",
    ) {
        let row = single(&instruction, &input, &response);
        let template = custom("<{instruction}|{input}>{response}!");
        let expected = (format!("<{instruction}|{input}>"), format!("{response}!"));
        prop_assert_eq!(texts(&template, &row), expected);
    }

    #[test]
    fn any_text_is_a_template_or_an_error(text in "([{}]|instruction|response|\\PC|\n){0,20}") {
        let _ = Template::parse(&text, "any");
    }
}
