//! Kinds of data files.

use serde_json::{Value, json};

use crate::command::{bone, copy_fixture, fixture, row_lines, text};
use crate::runs::{Place, Run, generate, number};

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
fn a_file_that_is_no_utf8_trains_a_model_of_bytes() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("model"));
    std::fs::remove_file(model.join("tokenizer.json")).unwrap();
    let config = model.join("config.json");
    let bytes = std::fs::read_to_string(&config)
        .unwrap()
        .replace("\"vocab_size\": 96", "\"vocab_size\": 256");
    std::fs::write(&config, bytes).unwrap();
    let data = place.path("utf16.txt");
    let utf16: Vec<u8> = "le chat est allé\n"
        .repeat(100)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(&data, utf16).unwrap();
    let out = place.path("out");
    let names = ["--model", text(&model), "--data", text(&data)];
    let shape = [
        "--max-seq-len",
        "64",
        "--validation",
        "8",
        "--max-steps",
        "12",
    ];
    let whole = ["--method", "full", "--init", "random"];
    let rest = [
        "--learning-rate",
        "0.01",
        "--device",
        "cpu",
        "--out",
        text(&out),
    ];
    let args = [&["train"][..], &names, &shape, &whole, &rest].concat();
    let ran = bone(args).succeeded();
    for line in ["tokenizer: raw bytes", "read as bytes: not UTF-8"] {
        assert!(ran.stderr.contains(line), "no {line} in: {}", ran.stderr);
    }
    let (first, last) = Run::read(out.clone()).first_and_last_validation();
    assert!(last < 0.7 * first, "held-out loss {first} → {last}");
    let model = out.join("model");
    let by_itself = generate(&model, &["--prompt", "le"]);
    assert!(by_itself.starts_with("le"), "{by_itself}");
    let named = generate(&model, &["--prompt", "le", "--tokenizer", "bytes"]);
    assert_eq!(named, by_itself);
}

#[test]
fn a_vocabulary_of_rwkv_serves_any_model() {
    let place = Place::new();
    let model = copy_fixture("llama-tiny", &place.path("model"));
    std::fs::remove_file(model.join("tokenizer.json")).unwrap();
    let config = model.join("config.json");
    let larger = std::fs::read_to_string(&config)
        .unwrap()
        .replace("\"vocab_size\": 96", "\"vocab_size\": 258");
    std::fs::write(&config, larger).unwrap();
    let lines: String = (0..256)
        .map(|byte| format!("{} b'\\x{byte:02x}' 1\n", byte + 1))
        .collect();
    std::fs::write(model.join("rwkv_vocab_test.txt"), lines + "257 'ab' 2\n").unwrap();
    let whole = ["--method", "full", "--init", "random"];
    let run = place.train_on(&model, &place.rows, "out", &whole);
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");
    let vocabulary = model.join("rwkv_vocab_test.txt");
    let args = ["--prompt", "ab", "--tokenizer", text(&vocabulary)];
    assert!(generate(&run.out.join("model"), &args).starts_with("ab"));
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
