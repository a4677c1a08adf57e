//! Kinds of data files.

use serde_json::{Value, json};

use crate::command::{fixture, row_lines};
use crate::runs::{Place, number};

const ADAPTER: [&str; 4] = ["--method", "bone", "--rank", "4"];

#[test]
fn a_plain_text_trains() {
    let place = Place::new();
    let data = place.path("text.txt");
    std::fs::write(&data, "the cat sat on the mat\n".repeat(60)).unwrap();
    let args = [&ADAPTER[..], &["--max-seq-len", "32"]].concat();
    let run = place.train_on(&fixture("llama-tiny"), &data, "out", &args);
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");
    // Every token is trained but the one that nothing predicts.
    for line in &run.steps {
        assert!(number(line, "tokens") >= number(line, "tokens_processed") - 4.0 * 32.0);
        assert!(number(line, "tokens") > 0.0);
    }
}

#[test]
fn the_same_rows_in_another_layout_give_the_same_run() {
    let place = Place::new();
    let expected = place.train("out", &ADAPTER).numbers();
    let rows: Vec<Value> = row_lines()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let renamed = |instruction: &str, response: &str| {
        let rows = rows.iter().map(|row| {
            json!({instruction: row["instruction"], response: row["output"], "id": 7}).to_string()
        });
        rows.collect::<Vec<_>>().join("\n")
    };
    let fields = ["--field-map", "instruction=q,response=a"];
    let layouts: [(&str, String, &[&str]); 6] = [
        ("crlf.jsonl", row_lines().join("\r\n"), &[]),
        (
            "mark.jsonl",
            format!("\u{feff}{}\n\n", row_lines().join("\n\n")),
            &[],
        ),
        ("array.json", Value::from(rows.clone()).to_string(), &[]),
        ("query.jsonl", renamed("query", "response"), &[]),
        ("prompt.jsonl", renamed("prompt", "completion"), &[]),
        ("own.jsonl", renamed("q", "a"), &fields),
    ];
    for (name, content, args) in layouts {
        let data = place.path(name);
        std::fs::write(&data, content).unwrap();
        let args = [&ADAPTER[..], args].concat();
        let out = format!("out-{name}");
        let run = place.train_on(&fixture("llama-tiny"), &data, &out, &args);
        assert_eq!(run.numbers(), expected, "{name}");
    }
}
