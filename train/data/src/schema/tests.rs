#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::json;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

/// Returns the content of a row by the only schema that fits.
fn content(row: Value) -> Content {
    let row = object(row);
    let fitting = Schema::fitting(&row);
    assert_eq!(fitting.len(), 1, "{row:?}");
    fitting[0].content(&row).unwrap()
}

fn message(role: Role, content: &str) -> Message {
    Message {
        role,
        content: content.into(),
    }
}

#[test]
fn openai_and_sharegpt_conversations_are_detected() {
    let expected = Content::chat(vec![
        message(Role::System, "Be brief."),
        message(Role::User, "2+2?"),
        message(Role::Assistant, "4"),
    ]);
    let messages = json!({"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}]},
        {"role": "assistant", "content": "4", "name": "calculator"},
    ], "id": 7});
    assert_eq!(content(messages), expected);
    let sharegpt = json!({"conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "2+2?"},
        {"from": "gpt", "value": "4"},
    ]});
    assert_eq!(content(sharegpt), expected);
    let beside = json!({"system": "Be brief.", "conversations": [
        {"from": "human", "value": "2+2?"},
        {"from": "gpt", "value": "4"},
    ]});
    assert_eq!(content(beside), expected);
}

#[test]
fn turn_keys_do_not_depend_on_list_name() {
    let expected = Content::chat(vec![
        message(Role::System, "Be brief."),
        message(Role::User, "2+2?"),
        message(Role::Assistant, "4"),
    ]);
    let openai = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4", "tool_calls": null, "function_call": {"name": null}},
    ]);
    let sharegpt = json!([
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "2+2?"},
        {"from": "gpt", "value": "4"},
    ]);
    for turns in [openai, sharegpt] {
        for list in ["messages", "conversations"] {
            assert_eq!(content(json!({list: turns})), expected);
        }
    }
}

#[test]
fn turn_with_weight_0_is_not_trained() {
    let turns = |weight: Value| {
        json!({"conversations": [
            {"from": "human", "value": "a", "weight": 0},
            {"from": "gpt", "value": "b", "weight": weight},
            {"from": "human", "value": "c", "weight": null},
            {"from": "gpt", "value": "d", "weight": 1.0},
        ], "system": "s"})
    };
    let only_read = |row| match content(row) {
        Content::Chat { only_read, .. } => only_read,
        other => panic!("{other:?}"),
    };
    assert_eq!(only_read(turns(json!(0))), [2]);
    assert_eq!(only_read(turns(json!(1))), [0; 0]);
    let problems = Schema::Conversations.content(&object(turns(json!(0.5))));
    let problem = problems.unwrap_err()[0].to_string();
    assert!(
        problem.starts_with("field 'conversations[1].weight' must be 1"),
        "{problem}"
    );
}

/// TRL's conversational prompt and completion.
#[test]
fn prompt_and_completion_may_be_message_lists() {
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let row = json!({
        "prompt": [said("user", "a"), said("assistant", "b"), said("user", "c")],
        "completion": [said("assistant", "d")],
    });
    let Content::Chat {
        messages,
        only_read,
    } = content(row)
    else {
        panic!("no chat");
    };
    assert_eq!(messages.len(), 4);
    // Messages in a prompt are not trained.
    assert_eq!(only_read, [0, 1, 2]);
    let mixed = object(json!({"prompt": [said("user", "a")], "completion": "b"}));
    let problems = "prompt".parse::<Schema>().unwrap().content(&mixed);
    assert_eq!(
        problems.unwrap_err()[0].to_string(),
        "field 'prompt' is an array, expected a string"
    );
}

#[test]
fn tool_calls_are_rejected() {
    let calls = json!([{"type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    for said in [Value::Null, json!("Let me see.")] {
        let row = object(json!({"messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": said, "tool_calls": calls},
        ]}));
        let problems = Schema::Messages.content(&row).unwrap_err();
        assert_eq!(problems.len(), 1);
        let problem = problems[0].to_string();
        let expected = "field 'messages[1].tool_calls' has tool calls";
        assert!(problem.starts_with(expected), "{problem}");
    }
}

#[test]
fn unreadable_field_fails_only_if_needed() {
    let row: Map<String, Value> = object(
        json!({"question": "q", "answer": "a", "image": {"\u{0}unreadable": "holds bytes"}}),
    );
    let schema: Schema = "qa".parse().unwrap();
    assert!(schema.content(&row).is_ok());
    let asked = Schema::Fields("instruction=question,response=image".parse().unwrap());
    assert_eq!(
        asked.content(&row).unwrap_err()[0].to_string(),
        "field 'image' holds bytes"
    );
}

#[test]
fn text_schema_applies_only_without_other_match() {
    assert_eq!(
        content(json!({"text": "a", "id": 1})),
        Content::Text("a".into())
    );
    let both = content(json!({"text": "rendered", "prompt": "a", "completion": "b"}));
    assert!(matches!(both, Content::Single { .. }));
}

#[test]
fn schema_names_parse_back() {
    for name in Schema::names() {
        let schema: Schema = name.parse().unwrap();
        assert_eq!(schema.name(), Some(*name));
    }
    let error = "aplaca".parse::<Schema>().unwrap_err();
    assert!(error.contains("did you mean 'alpaca'"), "{error}");
}

#[test]
fn conversation_error_lists_every_problem() {
    let row = object(json!({"messages": [
        {"role": "user"},
        "hello",
        {"role": "narrator", "content": "x"},
        {"role": 1, "content": [{"type": "image_url"}]},
        {"role": "assistant", "content": null},
    ]}));
    let problems = Schema::Messages.content(&row).unwrap_err();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems[0], "field 'messages[0].content' is missing");
    assert_eq!(
        problems[1],
        "field 'messages[1]' is a string, expected an object"
    );
    assert!(
        problems[2].starts_with("field 'messages[2].role': "),
        "{problems:?}"
    );
    assert_eq!(
        problems[3],
        "field 'messages[3].role' is a number, expected a string"
    );
    assert_eq!(
        problems[4],
        "field 'messages[3].content' is an array, expected text"
    );
    assert_eq!(
        problems[5],
        "field 'messages[4].content' is null, expected text"
    );
    assert_eq!(problems.len(), 6);
    let empty = object(json!({"conversations": []}));
    let problems = Schema::Conversations.content(&empty).unwrap_err();
    let expected = RowProblem::Other("field 'conversations' is an empty list".into());
    assert_eq!(problems, [expected]);
}

#[test]
fn question_and_answer_field_names_are_known() {
    let wanted = Content::Single {
        instruction: "q".into(),
        input: String::new(),
        response: "a".into(),
    };
    for (question, answer) in [
        ("query", "response"),
        ("instruction", "output"),
        ("prompt", "completion"),
        ("question", "answer"),
        ("problem", "solution"),
    ] {
        assert_eq!(
            content(json!({question: "q", answer: "a", "level": 1})),
            wanted
        );
    }
}
