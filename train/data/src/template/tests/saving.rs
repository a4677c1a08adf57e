//! Saving templates.

use serde_json::{Value, json};

use super::*;

fn all() -> Vec<Template> {
    let own = Template::parse("Q {instruction}\r\n{response}\n\n", "mine.txt").unwrap();
    BUILT_IN.into_iter().chain([own, jinja(MARKERS)]).collect()
}

#[test]
fn saved_template_reads_back_equal() {
    for template in all() {
        let text = serde_json::to_string(&template).unwrap();
        let back: Template = serde_json::from_str(&text).unwrap();
        assert_eq!(back, template);
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        let row = single("i", "in", "r");
        assert_eq!(back.pieces(&row), template.pieces(&row));
        assert_eq!(back.to_string(), template.to_string());
    }
}

/// Saved adapters must stay readable.
#[test]
fn saved_template_format_is_stable() {
    let chat = json!({
        "version": 1, "template": "chat-template", "origin": "mine.jinja", "source": MARKERS,
        "special_tokens": {"bos_token": "<s>", "eos_token": "</s>"},
    });
    assert_eq!(serde_json::to_value(jinja(MARKERS)).unwrap(), chat);
    assert_eq!(
        serde_json::from_value::<Template>(chat).unwrap(),
        jinja(MARKERS)
    );
    for name in ["alpaca", "plain", "rwkv", "llama2-chat", "chatml"] {
        let saved = json!({"version": 1, "template": name});
        let template: Template = serde_json::from_value(saved.clone()).unwrap();
        assert_eq!(template.to_string(), name);
        assert_eq!(serde_json::to_value(template).unwrap(), saved);
    }
    let own = json!({
        "version": 1, "template": "custom", "origin": "f", "source": "{instruction}{response}\n",
    });
    let template: Template = serde_json::from_value(own.clone()).unwrap();
    assert_eq!(serde_json::to_value(template).unwrap(), own);
}

#[test]
fn unknown_saved_templates_are_rejected() {
    let source = "{instruction}{response}";
    let cases: [(Value, &str); 11] = [
        (
            json!({"version": 2, "template": "alpaca", "new": 1}),
            "version 2",
        ),
        (
            json!({"version": "1", "template": "alpaca"}),
            "version \"1\"",
        ),
        (json!({"template": "alpaca"}), "has no version"),
        (json!([1]), "has no version"),
        (
            json!({"version": 1, "template": "alpaca", "colour": 1}),
            "colour",
        ),
        (
            json!({"version": 1, "template": "vicuna"}),
            "unknown template 'vicuna'",
        ),
        (
            json!({"version": 1, "template": "alpaca", "special_tokens": {}}),
            "unexpected fields",
        ),
        (
            json!({"version": 1, "template": "custom", "source": source}),
            "unexpected fields",
        ),
        (
            json!({"version": 1, "template": "custom", "origin": "f", "source": "{x}"}),
            "unknown placeholder '{x}'",
        ),
        (
            json!({"version": 1, "template": "chat-template", "origin": "f", "source": ""}),
            "unexpected fields",
        ),
        (
            json!({"version": 1, "template": "chat-template", "origin": "f", "source": "{{",
                   "special_tokens": {}}),
            "line 1",
        ),
    ];
    for (saved, part) in cases {
        let message = serde_json::from_value::<Template>(saved.clone())
            .unwrap_err()
            .to_string();
        assert!(message.contains(part), "{saved}: {message}");
    }
}
