#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

const LONGEST: usize = 1 << 20;

fn render(source: &str, values: Value) -> Result<String, Fault> {
    let Value::Object(names) = values else {
        panic!("{values} is not an object");
    };
    Program::parse(source)?.render(&names, LONGEST)
}

/// Returns the folder of fixtures, in the workspace's tests.
fn fixtures() -> PathBuf {
    let beside = "../../tests/fixtures/chat_templates";
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(beside)
}

fn fixture(name: &str) -> Value {
    let text = fs::read_to_string(fixtures().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns the values that transformers gives a template besides its own.
fn given(messages: &Value, special_tokens: &Value, values: &Value) -> Value {
    let mut given = json!({
        "messages": messages,
        "add_generation_prompt": false,
        "tools": null,
        "documents": null,
    });
    for more in [special_tokens, values] {
        for (name, value) in more.as_object().into_iter().flatten() {
            given[name] = value.clone();
        }
    }
    given
}

/// Texts from transformers (`tests/reference/chat_template_fixtures.py`); null where it raises an error.
#[test]
fn chat_templates_match_transformers() {
    let mut templates = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "snippets.json" {
            continue;
        }
        templates += 1;
        let fixture = fixture(&name);
        let source = fixture["source"].as_str().unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let prompt = json!({"add_generation_prompt": case["add_generation_prompt"]});
            let given = given(&case["messages"], &fixture["special_tokens"], &prompt);
            let ours = render(source, given);
            match name.as_str() {
                // This file also contains the cases in `differs.txt`.
                "python.json" => {
                    let fault = ours.unwrap_err();
                    assert!(fault.message.contains("separators"), "{fault:?}");
                    continue;
                }
                // minijinja drops white space before a `{% raw %}` on a separate line; Jinja keeps it.
                "spaces.json" => {
                    assert_ne!(ours.as_deref().ok(), case["text"].as_str());
                    continue;
                }
                _ => {}
            }
            assert_eq!(
                ours.as_deref().ok(),
                case["text"].as_str(),
                "{name}: {case}\n{ours:?}"
            );
        }
    }
    assert!(templates >= 12, "{templates}");
}

/// `differs.txt` lists exactly the short templates whose result differs. Features of Jinja that minijinja
/// lacks are errors, except for Python's format of some numbers.
#[test]
fn short_templates_match_transformers_except_listed() {
    let fixture = fixture("snippets.json");
    let given = given(
        &fixture["messages"],
        &fixture["special_tokens"],
        &fixture["values"],
    );
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() > 500, "{}", cases.len());
    let listed: BTreeSet<&str> = include_str!("differs.txt").lines().collect();
    let differs = |case: &&Value| {
        let ours = render(case["source"].as_str().unwrap(), given.clone());
        ours.as_deref().ok() != case["text"].as_str()
    };
    let found: BTreeSet<_> = cases
        .iter()
        .filter(differs)
        .map(|case| case["source"].to_string())
        .collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let not_listed: Vec<_> = found.difference(&listed).collect();
    let not_found: Vec<_> = listed.difference(&found).collect();
    assert!(
        not_listed.is_empty() && not_found.is_empty(),
        "{not_listed:#?} {not_found:#?}"
    );
}

/// Expensive templates: each fails soon.
#[test]
fn endless_or_huge_template_is_rejected() {
    let started = std::time::Instant::now();
    for source in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(10000000000) %}x{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{{ 'a' * 10000000000 }}",
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% for a in range(1000000) %}{{ 'a' * 100 }}{% endfor %}",
        "{{ ('a' * 1000000)|replace('a', 'b' * 1000) }}",
        "{{ 'x'|indent(1000000000) }}{{ '%1000000000d'|format(1) }}{{ 'x'.center(10000000000) }}",
    ] {
        let fault = render(source, json!({})).unwrap_err();
        assert_ne!(fault.kind, FaultKind::Refused, "{source}: {fault:?}");
    }
    let nested = format!(
        "{}1{}",
        "{{ ".to_owned() + &"(".repeat(5000),
        ")".repeat(5000) + " }}"
    );
    assert!(render(&nested, json!({})).is_err());
    // The limit is on the work, not on the time. This only detects a hang.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// Otherwise a dataset would take seconds per row.
#[test]
fn template_stops_after_exceeding_limit() {
    let source = "{% if long %}{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}\
                  {% endfor %}{% else %}short{% endif %}";
    let program = Program::parse(source).unwrap();
    let render = |long: bool| {
        let given = json!({"long": long});
        program.render(given.as_object().unwrap(), 1 << 20)
    };
    assert_eq!(render(false).as_deref(), Ok("short"));
    assert!(render(true).unwrap_err().message.contains("too long"));
    let again = render(false).unwrap_err().message;
    assert!(again.contains("not run again"), "{again}");
}

#[test]
fn template_error_names_its_line() {
    let fault = render("a\n{% if %}", json!({})).unwrap_err();
    assert_eq!((fault.kind, fault.line), (FaultKind::Broken, Some(2)));
    let fault = render("\n\n{{ raise_exception('no system message') }}", json!({})).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert_eq!(
        (fault.message.as_str(), fault.line),
        ("no system message", Some(3))
    );
    let fault = render("a\n{{ foo.bar }}", json!({})).unwrap_err();
    assert_eq!(fault.line, Some(2));
    assert!(fault.message.contains("foo"), "{fault:?}");
    let fault = render("{{ 'a' * 10000000000 }}", json!({})).unwrap_err();
    assert!(fault.message.contains("writes too much"), "{fault:?}");
    let fault = render(
        "{{ messages[0].content.nothing() }}",
        json!({"messages": []}),
    )
    .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Broken);
    for source in [
        "{% include 'a' %}",
        "{% extends 'a' %}",
        "{% import 'a' as a %}",
    ] {
        assert!(render(source, json!({})).is_err(), "{source}");
    }
}

/// Templates check like this for tools, which transformers passes as none.
#[test]
fn none_is_not_iterable() {
    let source =
        "{{ tools is iterable }} {{ [1] is iterable }} {{ 'a' is iterable }} {{ 1 is iterable }}";
    let text = render(source, json!({"tools": null}));
    assert_eq!(text.as_deref(), Ok("False True True False"));
}
