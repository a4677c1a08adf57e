//! Data files.

use std::path::Path;

use crate::command::{row_lines, text};
use crate::refusal::{FAILURE, Scene, USAGE};

#[track_caller]
fn data_fails(scene: &Scene, data: &Path, wanted: &[&str]) -> String {
    scene.train_fails(&["--data", text(data)], FAILURE, wanted)
}

#[test]
fn missing_or_empty_data_is_rejected() {
    let scene = Scene::new();
    let absent = scene.path("absent.jsonl");
    let args = ["--data", text(&absent)];
    let wanted = ["--data: ", "absent.jsonl: file not found"];
    scene.train_fails(&args, FAILURE, &wanted);
    let args = ["--data", text(&scene.model)];
    scene.train_fails(
        &args,
        FAILURE,
        &["--data: ", "the folder has several splits"],
    );
    let empty = scene.write("empty.jsonl", "\n\n");
    data_fails(&scene, &empty, &["empty.jsonl: the file has no rows"]);
    let empty = scene.write("empty.txt", " \n");
    let args = ["--template=", "--data", text(&empty)];
    scene.train_fails(&args, FAILURE, &["empty.txt: the file has no text"]);
    let prefix = scene.write("corpus.idx", "");
    data_fails(
        &scene,
        &prefix.with_extension(""),
        &["corpus: file not found; choose one of ", "corpus.idx"],
    );
    let table = scene.write("table.csv", "question,answer\n1+1,2\n");
    data_fails(
        &scene,
        &table,
        &["table.csv: ", "looks like CSV", "JSON Lines"],
    );
    let weights = scene.model.join("model.safetensors");
    data_fails(
        &scene,
        &weights,
        &["model.safetensors: ", "invalid UTF-8", "line 1"],
    );
}

#[test]
fn every_bad_row_is_named_by_its_line() {
    let scene = Scene::new();
    let mut lines = row_lines();
    lines[4] = "{not json".to_owned();
    lines[7] = r#"{"instruction": "no answer"}"#.to_owned();
    lines[9] = r#"{"instruction": 1, "output": null}"#.to_owned();
    lines[11] = "[]".to_owned();
    let data = scene.write("bad.jsonl", lines.join("\n"));
    let wanted = [
        "bad.jsonl: ",
        "line 5: invalid JSON",
        "line 8: field 'output' is missing",
        "line 10: field 'instruction' is a number, expected a string",
        "line 10: field 'output' is null, expected a string",
        "line 12: expected an object, found an array",
        "--field-map instruction=FIELD,response=FIELD",
    ];
    let message = data_fails(&scene, &data, &wanted);
    assert!(
        message.lines().all(|line| line.trim_end() == line),
        "{message:?}"
    );
}

#[test]
fn unknown_row_fields_are_rejected() {
    let scene = Scene::new();
    let wanted = [
        "line 1: field 'q' is missing",
        "line 1: field 'a' is missing",
    ];
    let map = ["--field-map", "instruction=q,response=a"];
    scene.train_fails(&map, FAILURE, &wanted);
    let data = scene.write("own.jsonl", "{\"q\": \"x\", \"a\": \"y\"}\n".repeat(5));
    let wanted = [
        "own.jsonl: ",
        "no known schema",
        "the fields q, a",
        "instruction=FIELD",
    ];
    data_fails(&scene, &data, &wanted);
    let steering = scene.write("steer.jsonl", "{\"\\u001b[31m\": \"x\"}\n");
    let message = data_fails(&scene, &steering, &["steer.jsonl"]);
    assert!(!message.contains('\u{1b}'), "{message:?}");
    let plain = scene.write("plain.txt", "some text");
    let args = [
        "--data",
        text(&plain),
        "--field-map",
        "instruction=q,response=a",
    ];
    let wanted = [
        "--template: has no effect",
        "--field-map: has no effect",
        "plain.txt, which is plain text",
    ];
    scene.train_fails(&args, USAGE, &wanted);
}

/// A slice counts rows, and a text has no rows. It must not be used whole instead.
#[test]
fn slice_of_plain_text_is_rejected() {
    let scene = Scene::new();
    let plain = scene.write("plain.txt", "some text\n".repeat(100));
    let sliced = format!("{}[:2]", text(&plain));
    let wanted = ["plain.txt[:2]: ", "plain text"];
    let train = ["--template=", "--data", &sliced];
    scene.train_fails(&train, FAILURE, &wanted);
    let model = text(&scene.model);
    scene.fails(
        &["data", "check", &sliced, "--model", model],
        FAILURE,
        &wanted,
    );
    let out = scene.path("out.json");
    let perplexity = [
        "eval",
        "ppl",
        "--max-seq-len",
        "64",
        "--model",
        model,
        "--data",
        &sliced,
        "--out",
        text(&out),
    ];
    scene.fails(&perplexity, FAILURE, &wanted);
}

#[test]
fn weights_that_leave_no_samples_are_rejected() {
    let scene = Scene::new();
    let data = scene.write("rows.jsonl", row_lines().join("\n"));
    let seldom = format!("{}@0.001", text(&data));
    let wanted = ["no samples to train on", "(0.001)"];
    scene.train_fails(&["--data", &seldom], FAILURE, &wanted);
}

/// A field map cannot name a field of a turn.
#[test]
fn invalid_chat_turns_are_listed() {
    let scene = Scene::new();
    let rows = [
        r#"{"messages": [{"role": "user"}]}"#,
        r#"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": 1}]}]}"#,
        r#"{"messages": [{"role": "assistant", "content": "a", "weight": 0.5}]}"#,
    ];
    let data = scene.write("chat.jsonl", rows.join("\n"));
    let wanted = [
        "line 1: field 'messages[0].content' is missing",
        "line 2: field 'messages[0].tool_calls' has tool calls",
        "line 3: field 'messages[0].weight' must be 1",
    ];
    let message = data_fails(&scene, &data, &wanted);
    assert!(!message.contains("--field-map"), "{message}");
}

#[test]
fn rows_must_allow_training_and_validation() {
    let scene = Scene::new();
    let row = |prompt: &str| format!("{{\"instruction\": \"{prompt}\", \"output\": \"b\"}}\n");
    let one = scene.write("one.jsonl", row("a"));
    data_fails(&scene, &one, &["lower validation"]);
    let same = scene.write("same.jsonl", row("a").repeat(9));
    data_fails(&scene, &same, &["all 9 samples have the same prompt"]);
    let long = scene.write("long.jsonl", row(&"a".repeat(600)));
    data_fails(
        &scene,
        &long,
        &["no samples left", "601 tokens", "max_seq_len is 512"],
    );
    let wanted = ["validation 40 ", "40 samples"];
    scene.train_fails(&["--validation", "40"], FAILURE, &wanted);
}

/// Each row that is cut off, too long or not text is reported by its line. The rows after it are read.
#[test]
fn broken_rows_are_listed_with_line() {
    let scene = Scene::new();
    let mut file = row_lines().join("\n").into_bytes();
    file.extend(b"\n{\"instruction\": \"");
    file.resize(file.len() + 100_000_000, b'a');
    file.extend(b"\", \"output\": \"b\"}\n{\"instruction\": \"\xff\", \"output\": \"b\"}\n");
    file.extend(b"{\"instruction\": \"a\", \"output\": [1]}\n{\"instruction\": \"a");
    let data = scene.write("broken.jsonl", file);
    let wanted = [
        "broken.jsonl: 4 problem(s)",
        "line 41: longer than 4 MiB",
        "line 42: invalid UTF-8",
        "line 43: field 'output' is an array, expected a string",
        "line 44: invalid JSON",
    ];
    data_fails(&scene, &data, &wanted);
    let none = scene.write("none.jsonl", "");
    data_fails(&scene, &none, &["none.jsonl: the file has no rows"]);
}

/// A template whose cost grows with every row gives one error, not one per row.
#[test]
fn endless_chat_template_gives_a_single_error() {
    let scene = Scene::new();
    for (name, source) in [
        (
            "loops.jinja",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        ),
        (
            // The work inside a single operation is not charged.
            "joins.jinja",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}\
             {% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
        ),
    ] {
        let template = scene.write(name, source);
        let args = ["--template", text(&template)];
        scene.train_fails(
            &args,
            FAILURE,
            &[
                name,
                "runs too long",
                "remaining rows",
                ": 1 row(s) cannot be tokenized",
            ],
        );
        let question = "{\"question\": \"1+1\", \"answer\": \"#### 2\"}";
        let questions = scene.write("questions.jsonl", question);
        let out = scene.path("out.json");
        let args = [
            "eval",
            "gsm8k",
            "--model",
            text(&scene.model),
            "--template",
            text(&template),
            "--data",
            text(&questions),
            "--out",
            text(&out),
        ];
        scene.fails(&args, FAILURE, &[name, "runs too long"]);
    }
}
