#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;

use super::*;

mod chat_templates;
mod chats;
mod placeholders;
mod saving;

fn single(instruction: &str, input: &str, response: &str) -> Content {
    Content::Single {
        instruction: instruction.into(),
        input: input.into(),
        response: response.into(),
    }
}

/// Returns a conversation from roles and contents: `s`ystem, `u`ser, `a`ssistant, `t`ool.
fn messages(turns: &[(char, &str)]) -> Vec<Message> {
    turns
        .iter()
        .map(|(role, content)| {
            let role = match role {
                's' => Role::System,
                'u' => Role::User,
                'a' => Role::Assistant,
                _ => Role::Tool,
            };
            Message::new(role, *content)
        })
        .collect()
}

/// Formats pieces on one line: `<bos>`, `<eos>`, texts unchanged, trained parts in `«»`.
fn shown(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Bos => "<bos>".to_owned(),
            Piece::Eos { trained: true } => "«<eos>»".to_owned(),
            Piece::Eos { trained: false } => "<eos>".to_owned(),
            Piece::Text {
                text,
                trained: true,
            } => format!("«{text}»"),
            Piece::Text {
                text,
                trained: false,
            } => text.clone(),
        })
        .collect()
}

fn chat(template: &Template, turns: &[(char, &str)]) -> String {
    shown(&template.pieces(&Content::chat(messages(turns))).unwrap())
}

fn prompt(template: &Template, turns: &[(char, &str)]) -> String {
    shown(&template.prompt(&messages(turns)).unwrap())
}

fn error(template: &Template, turns: &[(char, &str)]) -> RenderError {
    template
        .pieces(&Content::chat(messages(turns)))
        .unwrap_err()
}

/// Returns the pieces with none of them trained.
fn untrained(pieces: Vec<Piece>) -> Vec<Piece> {
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Bos => Piece::Bos,
            Piece::Eos { .. } => Piece::Eos { trained: false },
            Piece::Text { text, .. } => Piece::read(text),
        })
        .collect()
}

/// The built-in templates that support conversations.
const CHATS: [Template; 3] = [Template::Rwkv, Template::Llama2Chat, Template::ChatMl];

/// A typical chat template, written for this test.
const MARKERS: &str = "\
{%- for m in messages %}
    {{- '<|' + m.role + '|>' + m.content + '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>' }}{% endif %}";

fn jinja(source: &str) -> Template {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
    Template::Jinja(ChatTemplate::parse(source, "mine.jinja", tokens.into()).unwrap())
}

#[test]
fn every_template_trains_text_whole() {
    for template in BUILT_IN.into_iter().chain([jinja(MARKERS)]) {
        let content = Content::Text("all of it".into());
        let pieces = template.pieces(&content).unwrap();
        assert_eq!(shown(&pieces), "<bos>«all of it»«<eos>»");
        assert_eq!(template.prompt_of(&content).unwrap(), [Piece::Bos]);
    }
}

#[test]
fn conversation_without_answer_is_rejected() {
    for template in BUILT_IN.into_iter().chain([jinja(MARKERS)]) {
        assert_eq!(error(&template, &[]), empty());
        assert_eq!(error(&template, &[('u', "q")]), RenderError::NoAnswer);
        assert_eq!(template.prompt(&[]), Err(empty()));
        for (turns, role) in [
            (&[('u', "q"), ('a', "x")][..], Role::Assistant),
            (&[('s', "x")], Role::System),
        ] {
            let error = template.prompt(&messages(turns)).unwrap_err();
            let expected = format!("the last message is by {role}, ");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn template_names_load_and_print() {
    for name in ["alpaca", "plain", "rwkv", "llama2-chat", "chatml"] {
        let template = Template::load(name, None).unwrap();
        assert_eq!(template.to_string(), name);
        assert!(template.uses_input());
    }
    assert_eq!(Template::load("alpaca", None).unwrap(), Template::default());
    let message = Template::load("alpacca", None).unwrap_err().to_string();
    for part in [
        "alpacca",
        "plain",
        "rwkv",
        "llama2-chat",
        "chatml",
        "model",
        ".jinja",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn oversized_or_binary_template_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mine.txt", "mine.jinja"] {
        let path = folder.path().join(name);
        for (bytes, part) in [
            (vec![b'a'; MAX_FILE + 1], "longer than"),
            (vec![0xff], "UTF-8"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = Template::load(path.to_str().unwrap(), None).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(part) && message.contains(name),
                "{message}"
            );
        }
    }
    assert!(Template::load(folder.path().to_str().unwrap(), None).is_err());
}

fn any_text() -> impl Strategy<Value = String> {
    "[a-z \n]{0,8}|\\PC{0,4}|\\[/INST\\]|<\\|im_end\\|>|\\{\\{ x \\}\\}| *\r?\n\r?\n *"
}

prop_compose! {
    /// Generates alternating questions and answers, which every template supports, optionally after a
    /// system message.
    fn any_chat()(
        system in proptest::option::of(any_text()),
        turns in proptest::collection::vec((any_text(), any_text()), 1..5),
    ) -> Vec<Message> {
        let system = system.map(|text| Message::new(Role::System, text));
        let turns = turns.into_iter().flat_map(|(question, answer)| {
            [Message::new(Role::User, question), Message::new(Role::Assistant, answer)]
        });
        system.into_iter().chain(turns).collect()
    }
}

proptest! {
    /// Generation reads exactly the text and the pieces that training read before the answer.
    #[test]
    fn chat_prompt_is_prefix_of_trained_pieces(messages in any_chat()) {
        let pairs = "{% for m in messages if m.role != 'system' %}\
            {% if m.role == 'user' %}{{ bos_token ~ '(Q) ' ~ m.content.strip() ~ ' (A)' }}\
            {% else %}{{ ' ' ~ m.content.strip() ~ eos_token }}{% endif %}{% endfor %}";
        for template in CHATS.into_iter().chain([jinja(MARKERS), jinja(pairs)]) {
            let before = messages.split_last().unwrap().1;
            let prompt = template.prompt(before).unwrap();
            let content = Content::chat(messages.clone());
            prop_assert_eq!(&template.prompt_of(&content).unwrap(), &prompt);
            let whole = untrained(template.pieces(&content).unwrap());
            prop_assert_eq!(&whole[..prompt.len()], &prompt[..], "{}", template);
        }
    }

    /// The same test with one question, for every template.
    #[test]
    fn single_prompt_is_prefix_of_trained_pieces(
        instruction in any_text(), input in any_text(), response in any_text(),
    ) {
        let content = single(&instruction, &input, &response);
        let own = Template::parse("<{instruction}|{input}>{response}!", "mine").unwrap();
        for template in BUILT_IN.into_iter().chain([jinja(MARKERS), own]) {
            let prompt = template.prompt_of(&content).unwrap();
            let whole = untrained(template.pieces(&content).unwrap());
            prop_assert_eq!(&whole[..prompt.len()], &prompt[..], "{}", template);
        }
    }
}
