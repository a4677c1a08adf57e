//! Chat templates: finding them, and their trained parts.

use std::path::Path;

use serde_json::json;

use super::*;

const CHAT: [(char, &str); 5] = [
    ('s', "S"),
    ('u', "Hi"),
    ('a', "Hello!"),
    ('u', "Why?"),
    ('a', "So."),
];

fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn of_model(files: &[(&str, String)]) -> Result<Template, TemplateError> {
    Template::load("model", Some(folder(files).path()))
}

fn source(template: &Template) -> &str {
    match template {
        Template::Jinja(chat) => &chat.source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_assistants_turns_are_trained() {
    assert_eq!(
        chat(&jinja(MARKERS), &CHAT),
        "<|system|>S<|end|>\n<|user|>Hi<|end|>\n<|assistant|>«Hello!<|end|>\n»\
         <|user|>Why?<|end|>\n<|assistant|>«So.<|end|>\n»"
    );
    assert_eq!(
        prompt(&jinja(MARKERS), &CHAT[..4]),
        "<|system|>S<|end|>\n<|user|>Hi<|end|>\n<|assistant|>Hello!<|end|>\n\
         <|user|>Why?<|end|>\n<|assistant|>"
    );
    let row = single("Add.", "1, 2", "3");
    assert_eq!(
        shown(&jinja(MARKERS).pieces(&row).unwrap()),
        "<|user|>Add.\n\n1, 2<|end|>\n<|assistant|>«3<|end|>\n»"
    );
    assert_eq!(
        chat(
            &jinja(MARKERS),
            &[('a', "1"), ('a', "2"), ('t', "3"), ('a', "4")]
        ),
        "<|assistant|>«1<|end|>\n»<|assistant|>«2<|end|>\n»<|tool|>3<|end|>\n<|assistant|>«4<|end|>\n»"
    );
}

#[test]
fn special_tokens_are_written_by_the_template() {
    let template = jinja(
        "{{ bos_token }}{% for m in messages %}{{ m.content }}\
         {% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}",
    );
    assert_eq!(chat(&template, &[('u', "q"), ('a', "x")]), "<s>q«x</s>»");
    // The tokenizer's end token ends generation anyway.
    assert!(template.stops().is_empty());
}

#[test]
fn text_after_answer_becomes_stop() {
    assert_eq!(jinja(MARKERS).stops(), ["<|end|>"]);
    let both =
        jinja("{% for m in messages %}{{ m.content }}<|end|>\n{{ eos_token }}\n{% endfor %}");
    assert_eq!(both.stops(), ["<|end|>"]);
    assert!(
        jinja("{% for m in messages %}{{ m.content }}\n{% endfor %}")
            .stops()
            .is_empty()
    );
    assert!(jinja("{{ raise_exception('no') }}").stops().is_empty());
    assert!(jinja("nothing of it").stops().is_empty());
}

#[test]
fn template_rewriting_earlier_messages_cannot_train() {
    // Some templates drop earlier thoughts like this: only the last answer is complete.
    let forgets = jinja(
        "{% for m in messages %}[{{ m.role }}]{{ m.content if loop.last or m.role == 'user' else '..' }}\
         {% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
    );
    assert_eq!(chat(&forgets, &CHAT[1..3]), "[user]Hi[assistant]«Hello!»");
    let message = error(&forgets, &CHAT[1..]).to_string();
    for part in [
        "mine.jinja",
        "when more messages follow",
        "message 2",
        "chatml",
    ] {
        assert!(message.contains(part), "{message}");
    }
    // But generation can use it.
    assert_eq!(
        prompt(&forgets, &CHAT[1..4]),
        "[user]Hi[assistant]..[user]Why?[assistant]"
    );
    let asks = jinja(
        "{% for m in messages %}{{ m.content }}{% endfor %}\
         {% if add_generation_prompt %}answer now: {% endif %}",
    );
    let error = error(&asks, &CHAT[1..3]);
    assert!(error.to_string().contains("generation prompt"), "{error}");
    // One extra space is enough.
    let trims = jinja(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
         {% if add_generation_prompt %}assistant:  {% endif %}",
    );
    let error = super::error(&trims, &CHAT[1..3]);
    assert!(matches!(error, RenderError::NotInTurns(_)));
    assert!(error.to_string().contains("(up to message 2)"), "{error}");
}

#[test]
fn template_failure_reports_reason() {
    let refuses = jinja(
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}x",
    );
    let message = error(&refuses, &CHAT).to_string();
    assert!(
        message.contains("refuses the conversation: no system"),
        "{message}"
    );
    let fails = jinja("\n{{ messages[9].role }}");
    let message = error(&fails, &CHAT).to_string();
    assert!(
        message.contains("'mine.jinja', line 2: ") && message.contains("messages[9]"),
        "{message}"
    );
    let endless = jinja(
        "{% for a in range(9999) %}{% for b in range(99) %}{% if a is odd %}{% endif %}{% endfor %}{% endfor %}",
    );
    assert!(matches!(error(&endless, &CHAT), RenderError::Limit(_)));
}

#[test]
fn a_long_chat_is_rendered_in_full() {
    let text = "word ".repeat(200);
    let turns: Vec<_> = (0..100)
        .flat_map(|_| [('u', text.as_str()), ('a', text.as_str())])
        .collect();
    let pieces = jinja(MARKERS)
        .pieces(&Content::chat(messages(&turns)))
        .unwrap();
    assert_eq!(pieces.len(), 200);
}

#[test]
fn model_template_files_have_precedence() {
    let tokens = r#""bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}"#;
    let config = format!(r#"{{"chat_template": "config", {tokens}}}"#);
    let all = [
        ("chat_template.jinja", "file".to_owned()),
        ("tokenizer_config.json", config),
        (
            "chat_template.json",
            r#"{"chat_template": "processor"}"#.to_owned(),
        ),
    ];
    assert_eq!(source(&of_model(&all).unwrap()), "file");
    assert_eq!(source(&of_model(&all[1..]).unwrap()), "config");
    assert_eq!(source(&of_model(&all[2..]).unwrap()), "processor");
    let named = r#"{"chat_template": [{"name": "rag", "template": "r"},
                                      {"name": "default", "template": "d"}]}"#;
    let template = of_model(&[("tokenizer_config.json", named.to_owned())]).unwrap();
    assert_eq!(source(&template), "d");
    assert!(template.to_string().ends_with("tokenizer_config.json"));
}

#[test]
fn special_tokens_are_those_of_the_folder() {
    let show =
        "{{ bos_token }}|{{ eos_token }}|{{ unk_token is defined }}{{ messages[0].content }}";
    let config =
        json!({"chat_template": show, "bos_token": null, "eos_token": {"content": "</s>"}});
    let map = json!({"bos_token": "<map>", "eos_token": "<other>"});
    let files = [
        ("tokenizer_config.json", config.to_string()),
        ("special_tokens_map.json", map.to_string()),
    ];
    let expected = "<map>|</s>|Falseq";
    assert_eq!(prompt(&of_model(&files).unwrap(), &[('u', "q")]), expected);
    assert_eq!(
        prompt(&of_model(&files[..1]).unwrap(), &[('u', "q")]),
        "|</s>|Falseq"
    );
    // The special tokens are also used for a template from elsewhere.
    let model = folder(&files);
    for name in ["mine.jinja", "mine.j2", "mine.jinja2"] {
        let elsewhere = folder(&[(name, show.to_owned())]);
        let path = elsewhere.path().join(name);
        let template = Template::load(path.to_str().unwrap(), Some(model.path())).unwrap();
        assert_eq!(prompt(&template, &[('u', "q")]), expected);
        let template = Template::load(path.to_str().unwrap(), None).unwrap();
        assert_eq!(prompt(&template, &[('u', "q")]), "||Falseq");
    }
}

#[test]
fn missing_chat_template_error_suggests_fix() {
    let message = |files: &[(&str, String)]| of_model(files).unwrap_err().to_string();
    assert!(message(&[]).contains("has no chat template"));
    assert!(
        message(&[("tokenizer_config.json", "{}".to_owned())]).contains("has no chat template")
    );
    for (config, part) in [
        ("{", "invalid JSON"),
        (r#"{"chat_template": 3}"#, "chat_template must be a string"),
        (
            r#"{"chat_template": [{"name": "rag", "template": "x"}]}"#,
            "(rag)",
        ),
        (
            r#"{"chat_template": "x", "bos_token": 3}"#,
            "bos_token must be a string",
        ),
        (r#"{"chat_template": "{{ x"}"#, "line 1"),
    ] {
        let message = message(&[("tokenizer_config.json", config.to_owned())]);
        assert!(
            message.contains(part) && message.contains("tokenizer_config.json"),
            "{message}"
        );
    }
    let message = Template::load("model", None).unwrap_err().to_string();
    assert!(message.contains("single file"), "{message}");
    let error = Template::load("model", Some(Path::new("no such folder"))).unwrap_err();
    assert!(
        error.to_string().contains("has no chat template"),
        "{error}"
    );
}
