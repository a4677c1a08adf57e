//! `bone eval`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::{bone, fixture, text};
use crate::runs::Place;

/// Returns questions with words that the tiny models know.
fn questions(place: &Place, count: usize) -> PathBuf {
    let lines = (0..count).map(|row| {
        let word = ["ab", "cd", "ef", "gh"][row % 4].repeat(1 + row % 3);
        json!({"question": format!("say {word} {row}"), "answer": format!("it is\n#### {row}")})
            .to_string()
    });
    let path = place.path("questions.jsonl");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    path
}

fn eval(model: &Path, data: &Path, out: &Path, args: &[&str]) -> crate::command::Ran {
    let mut all = vec!["eval", "gsm8k", "--model", text(model), "--device", "cpu"];
    all.extend([
        "--data",
        text(data),
        "--out",
        text(out),
        "--max-new-tokens",
        "24",
    ]);
    all.extend(args);
    bone(all)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn batches_of_any_size_give_the_same_answers() {
    let place = Place::new();
    let data = questions(&place, 21);
    for model in ["llama-tiny", "rwkv6-tiny-pth"] {
        let folder = crate::rwkv6::named(&place, model);
        let answers = |size: &str| {
            let out = place.path(&format!("{model}-{size}.json"));
            eval(
                &folder,
                &data,
                &out,
                &["--batch-size", size, "--template", "plain"],
            )
            .succeeded();
            let results = read(&out);
            assert_eq!(results["summary"]["questions"], 21);
            assert_eq!(results["answers"].as_array().unwrap().len(), 21);
            results
        };
        let (one, many) = (answers("1"), answers("16"));
        let pairs = one["answers"]
            .as_array()
            .unwrap()
            .iter()
            .zip(many["answers"].as_array().unwrap());
        let mut after_near_ties = 0;
        for (a, b) in pairs {
            assert_eq!(a["question"], b["question"]);
            if a["output"] != b["output"] {
                assert!(
                    a["near_tie"].is_u64() && b["near_tie"].is_u64(),
                    "{model}: {a} and {b}"
                );
                after_near_ties += 1;
            }
        }
        assert!(
            after_near_ties <= 3,
            "{model}: {after_near_ties} of 21 differ after near ties"
        );
    }
}

#[test]
fn stopped_eval_resumes() {
    let place = Place::new();
    let data = questions(&place, 8);
    let whole = place.path("whole.json");
    let plain = |data: &Path, out: &Path, args: &[&str]| {
        let args = [&["--template", "plain"], args].concat();
        eval(&fixture("llama-tiny"), data, out, &args)
    };
    let two = ["--batch-size", "2"];
    let ran = plain(&data, &whole, &two).succeeded();
    assert!(
        ran.stdout.contains("gsm8k: ") && ran.stdout.contains("(standard error)"),
        "{}",
        ran.stdout
    );
    let expected = read(&whole);
    assert_eq!(expected["settings"]["rule"], "flexible-extract");
    // The state of a stopped evaluation: settings, three answers, and half of a fourth.
    let line = |value: &Value| value.to_string() + "\n";
    let mut partial = line(&expected["settings"]);
    for answer in &expected["answers"].as_array().unwrap()[..3] {
        partial += &line(answer);
    }
    partial += "{\"index\":";
    let out = place.path("resumed.json");
    let beside = place.path("resumed.json.partial");
    std::fs::write(&beside, &partial).unwrap();
    let ran = plain(&data, &out, &two).succeeded();
    assert!(
        ran.stderr.contains("resumed after 3 of 8 answers"),
        "{}",
        ran.stderr
    );
    let resumed = read(&out);
    assert_eq!(resumed["answers"], expected["answers"]);
    assert_eq!(resumed["settings"], expected["settings"]);
    assert!(!beside.exists());
    // Other settings cannot resume it, and results are not replaced without a flag.
    std::fs::write(place.path("other.json.partial"), &partial).unwrap();
    let other = place.path("other.json");
    let ran = plain(&data, &other, &["--batch-size", "4"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("other settings (batch_size)"),
        "{}",
        ran.stderr
    );
    // Another rule cannot resume it.
    let strict = ["--batch-size", "2", "--rule", "strict-match"];
    let ran = plain(&data, &other, &strict);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("other settings (rule)"),
        "{}",
        ran.stderr
    );
    // Other questions in the same file cannot resume it.
    let text = std::fs::read_to_string(&data).unwrap();
    std::fs::write(&data, text.replace("say ", "tell ")).unwrap();
    let ran = plain(&data, &other, &two);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("other settings (prompts)"),
        "{}",
        ran.stderr
    );
    let ran = plain(&data, &out, &two);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("--overwrite"),
        "{}",
        ran.stderr
    );
    let again = ["--batch-size", "2", "--overwrite"];
    plain(&data, &out, &again).succeeded();
}

/// The same file with another kind given.
#[test]
fn eval_with_other_block_axis_is_not_resumed() {
    let place = Place::new();
    let data = questions(&place, 2);
    let base = crate::rwkv6::model(&place, "rwkv6-tiny");
    let adapter = fixture("foreign/rwkv-peft-unclear/adapter.pth");
    let out = place.path("results.json");
    let on = |axis| {
        let args = ["--adapter", text(&adapter), "--block-axis", axis];
        let args = [&args[..], &["--template", "plain"]].concat();
        eval(&base, &data, &out, &args)
    };
    on("input").succeeded();
    let settings = read(&out)["settings"].to_string() + "\n";
    std::fs::remove_file(&out).unwrap();
    std::fs::write(place.path("results.json.partial"), settings).unwrap();
    let ran = on("output");
    assert!(
        ran.code == Some(1) && ran.stderr.contains("other settings (weights)"),
        "{}",
        ran.stderr
    );
    on("input").succeeded();
}

#[test]
fn too_long_questions_are_reported() {
    let place = Place::new();
    let data = questions(&place, 3);
    let out = place.path("long.json");
    let ran = eval(&fixture("llama-tiny"), &data, &out, &[]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("3 of 3 prompts fill the model's 128 positions"),
        "{}",
        ran.stderr
    );
    assert!(!out.exists() && !place.path("long.json.partial").exists());
    let long = json!({"question": "a".repeat(200), "answer": "#### 1"}).to_string();
    let short = std::fs::read_to_string(&data).unwrap();
    std::fs::write(&data, format!("{short}\n{long}\n")).unwrap();
    let ran = eval(
        &fixture("llama-tiny"),
        &data,
        &out,
        &["--template", "plain"],
    )
    .succeeded();
    assert!(
        ran.stderr.contains("1 of 4 prompts") && ran.stdout.contains("prompts too long: 1"),
        "{} {}",
        ran.stderr,
        ran.stdout
    );
    let results = read(&out);
    assert_eq!(results["summary"]["not_asked"], 1);
    assert_eq!(results["answers"][3]["ended"], "prompt_too_long");
}

#[test]
fn eval_uses_template_of_training_run() {
    let place = Place::new();
    let data = questions(&place, 4);
    let run = place.train(
        "out",
        &["--method", "miss", "--rank", "4", "--template", "chatml"],
    );
    let saved = read(&run.out.join("adapter/bone_prompt.json"));
    assert!(saved["template"].to_string().contains("chatml"), "{saved}");
    let out = place.path("eval.json");
    let adapter = ["--adapter", text(&run.out)];
    eval(&fixture("llama-tiny"), &data, &out, &adapter).succeeded();
    assert_eq!(read(&out)["settings"]["template"], "chatml");
    // A tokenizer other than the run's is an error.
    let bytes = [&adapter[..], &["--tokenizer", "bytes"]].concat();
    let ran = eval(
        &fixture("llama-tiny"),
        &data,
        &place.path("bytes.json"),
        &bytes,
    );
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("not the tokenizer of the training run"),
        "{}",
        ran.stderr
    );
    let merged = crate::runs::merge(&fixture("llama-tiny"), &run.out, place.path("merged"));
    assert_eq!(read(&merged.join("bone_prompt.json")), saved);
}

#[test]
fn examples_come_before_the_question() {
    let place = Place::new();
    let data = questions(&place, 5);
    let out = place.path("shots.json");
    let shots = ["--shots", "2", "--shots-file", text(&data)];
    eval(&fixture("llama-tiny"), &data, &out, &shots).succeeded();
    let settings = &read(&out)["settings"];
    assert_eq!(
        (&settings["shots"], &settings["template"]),
        (&json!(2), &Value::Null)
    );
    let alone = eval(&fixture("llama-tiny"), &data, &out, &["--shots", "2"]);
    assert_eq!(alone.code, Some(2));
    let more = ["--shots", "9", "--shots-file", text(&data)];
    let ran = eval(
        &fixture("llama-tiny"),
        &data,
        &place.path("more.json"),
        &more,
    );
    assert!(
        ran.code == Some(1) && ran.stderr.contains("9 examples"),
        "{}",
        ran.stderr
    );
}

#[test]
fn invalid_question_rows_are_listed() {
    let place = Place::new();
    let data = place.path("bad.jsonl");
    let lines = [
        r#"{"question": "a", "answer": "no mark"}"#,
        r#"{"question": "a"}"#,
        "{",
        r#"{"question": "a", "answer": "\#\#\#\# 1"}"#,
    ];
    std::fs::write(&data, lines.join("\n").replace("\\#", "#")).unwrap();
    let ran = eval(&fixture("llama-tiny"), &data, &place.path("out.json"), &[]);
    assert_eq!(ran.code, Some(1));
    for part in [
        "3 row(s)",
        "line 1: ",
        "line 2: field 'answer' is missing",
        "line 3: invalid JSON",
    ] {
        assert!(ran.stderr.contains(part), "no {part} in {}", ran.stderr);
    }
}

fn ppl(data: &str, args: &[&str]) -> crate::command::Ran {
    let model = fixture("llama-tiny");
    let all = ["eval", "ppl", "--model", text(&model), "--device", "cpu"];
    bone([&all[..], &["--data", data], args].concat())
}

#[test]
fn perplexity_is_computed_from_loss() {
    let place = Place::new();
    let data = place.path("text.txt");
    std::fs::write(&data, "the cat sat on the mat\n".repeat(40)).unwrap();
    let out = place.path("ppl.json");
    let ran = ppl(text(&data), &["--max-seq-len", "64", "--out", text(&out)]).succeeded();
    assert!(ran.stdout.contains("bits per byte"), "{}", ran.stdout);
    let result = read(&out);
    let nats = result["nats_per_token"].as_f64().unwrap();
    assert!((nats.exp() - result["perplexity"].as_f64().unwrap()).abs() < 1e-6 * nats.exp());
    // A run on the same chunks gives the same loss for its held-out chunks; here for all except one.
    let bytes = 23.0 * 40.0;
    let bits = result["bits_per_byte"].as_f64().unwrap();
    let tokens = result["tokens"].as_f64().unwrap();
    assert!((bits - nats * tokens / std::f64::consts::LN_2 / bytes).abs() < 1e-9);
}

#[test]
fn stopped_perplexity_resumes() {
    let place = Place::new();
    let ppl = |data: &str, out: &Path, max_seq_len: &str| {
        let args = ["--template", "plain", "--max-seq-len", max_seq_len];
        ppl(data, &[&args[..], &["--out", text(out)]].concat())
    };
    let rows = text(&place.rows).to_owned();
    let (whole, first) = (place.path("whole.json"), place.path("first.json"));
    ppl(&rows, &whole, "64").succeeded();
    ppl(&format!("{rows}[:16]"), &first, "64").succeeded();
    let (whole, first) = (read(&whole), read(&first));
    assert_eq!(
        (&whole["sequences"], &first["sequences"]),
        (&json!(40), &json!(16))
    );
    // As if the first sixteen had been evaluated with zero loss.
    let sums = json!({"sequences": 16, "loss_bits": 0, "tokens": first["tokens"]});
    let out = place.path("resumed.json");
    let beside = place.path("resumed.json.partial");
    let partial = format!("{}\n{sums}\n", whole["settings"]);
    std::fs::write(&beside, &partial).unwrap();
    let ran = ppl(&rows, &out, "63");
    assert!(
        ran.code == Some(1) && ran.stderr.contains("other settings"),
        "{}",
        ran.stderr
    );
    let ran = ppl(&rows, &out, "64").succeeded();
    assert!(
        ran.stderr.contains("resumed after 16 of 40 sequences"),
        "{}",
        ran.stderr
    );
    let resumed = read(&out);
    let sum = |of: &Value| of["nats_per_token"].as_f64().unwrap() * of["tokens"].as_f64().unwrap();
    assert_eq!(resumed["tokens"], whole["tokens"]);
    assert!((sum(&resumed) + sum(&first) - sum(&whole)).abs() < 1e-3 * sum(&whole));
    assert!(!beside.exists());
    let ran = ppl(&rows, &out, "64");
    assert!(
        ran.code == Some(1) && ran.stderr.contains("--overwrite"),
        "{}",
        ran.stderr
    );
}
