//! Kinds of data files.

use std::io::Write;
use std::path::Path;

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
    // Every token is trained except the first, which nothing predicts.
    for line in &run.steps {
        assert!(number(line, "tokens") >= number(line, "tokens_processed") - 4.0 * 32.0);
        assert!(number(line, "tokens") > 0.0);
    }
}

#[test]
fn non_utf8_file_trains_byte_model() {
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
    for line in ["tokenizer: raw bytes", "read as bytes"] {
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
fn row_layout_does_not_change_run() {
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
        std::fs::write(&data, &content).unwrap();
        let args = [&ADAPTER[..], args].concat();
        let out = format!("out-{name}");
        let run = place.train_on(&fixture("llama-tiny"), &data, &out, &args);
        assert_eq!(run.numbers(), expected, "{name}");
    }
}

/// Compresses with a crate that the project only uses for reading.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes rows as Parquet, three per row group.
fn write_parquet(path: &Path, rows: &[Value]) {
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    let schema =
        "message row { required binary instruction (UTF8); required binary output (UTF8); }";
    let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema.into(), Default::default()).unwrap();
    for rows in rows.chunks(3) {
        let mut group = writer.next_row_group().unwrap();
        for name in ["instruction", "output"] {
            let values: Vec<ByteArray> = rows
                .iter()
                .map(|row| row[name].as_str().unwrap().into())
                .collect();
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn compressed_and_split_files_give_the_same_run() {
    let place = Place::new();
    let expected = place.train("out", &ADAPTER).numbers();
    let all = row_lines().join("\n").into_bytes();
    let rows: Vec<Value> = row_lines()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    std::fs::write(place.path("rows.jsonl.gz"), gzip(&all)).unwrap();
    std::fs::write(
        place.path("rows.zst"),
        zstd::encode_all(&all[..], 1).unwrap(),
    )
    .unwrap();
    write_parquet(&place.path("rows.parquet"), &rows);
    let folder = place.path("hub/data");
    std::fs::create_dir_all(&folder).unwrap();
    write_parquet(&folder.join("train-00000-of-00002.parquet"), &rows[..25]);
    write_parquet(&folder.join("train-00001-of-00002.parquet"), &rows[25..]);
    write_parquet(&folder.join("test-00000-of-00001.parquet"), &rows[..3]);
    let head = place.path("head.jsonl");
    std::fs::write(&head, row_lines()[..10].join("\n")).unwrap();
    let longer = place.path("longer.jsonl");
    let twice = [row_lines(), row_lines()].concat();
    std::fs::write(&longer, twice.join("\n")).unwrap();
    for (name, data) in [
        ("gz", text(&place.path("rows.jsonl.gz")).to_owned()),
        ("zst", text(&place.path("rows.zst")).to_owned()),
        ("parquet", text(&place.path("rows.parquet")).to_owned()),
        ("split", format!("{}/train", text(&place.path("hub")))),
        ("folder", text(&place.path("hub")).to_owned()),
        ("slice", format!("{}[40:80]", text(&longer))),
        (
            "files",
            format!("{},{}[10:]", text(&head), text(&place.rows)),
        ),
    ] {
        let run = place.train_on(&fixture("llama-tiny"), Path::new(&data), name, &ADAPTER);
        // Rows of a slice have other numbers, but only dropout depends on them.
        assert_eq!(run.numbers(), expected, "{name}");
    }
}

#[test]
fn source_weight_scales_number_of_steps() {
    let place = Place::new();
    let steps = |weight: &str| {
        let data = format!("{}{weight}", text(&place.rows));
        let args = [&ADAPTER[..], &["--epochs", "1", "--max-steps", "1000"]].concat();
        let out = format!("out{}", weight.replace('@', "-"));
        let run = place.train_on(&fixture("llama-tiny"), Path::new(&data), &out, &args);
        run.steps.len()
    };
    // 32 of 40 rows remain, four per step.
    assert_eq!((steps(""), steps("@2"), steps("@0.5")), (8, 16, 4));
}

#[test]
fn data_check_reports_weights_and_slices() {
    let place = Place::new();
    let model = fixture("llama-tiny");
    let rows = text(&place.rows);
    let check = |data: &str, more: &[&str]| {
        let args = ["data", "check", data, "--model", text(&model)];
        bone([&args, more].concat())
    };
    let data = format!("{rows}[:10]@2,{rows}[30:400]@0.5");
    let ran = check(&data, &["--samples", "0"]).succeeded();
    for part in [
        "10 rows of JSON Lines",
        "weight 2: 20 samples per epoch",
        "weight 0.5: 5 samples per epoch",
        "the slice ends at 400",
        "packed: 25 samples in ",
    ] {
        assert!(ran.stdout.contains(part), "no {part} in {}", ran.stdout);
    }
    let ran = check(rows, &["--max-seq-len", "2"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("40 rows skipped ("), "{}", ran.stdout);
    assert!(ran.stderr.contains("no samples left"), "{}", ran.stderr);
}

#[test]
fn conversations_and_texts_train() {
    let place = Place::new();
    let chat = place.path("chat.jsonl");
    let lines = (0..40).map(|row| {
        let word = ["ab", "cd", "ef", "gh"][row % 4];
        let said = |role: &str, content: String| json!({"role": role, "content": content});
        let messages = [
            said("system", "be brief".into()),
            said("user", format!("say {word} {row}")),
            said("assistant", word.repeat(3)),
            said("user", "again".into()),
            said("assistant", word.repeat(3)),
        ];
        json!({"messages": messages}).to_string()
    });
    std::fs::write(&chat, lines.collect::<Vec<_>>().join("\n")).unwrap();
    for template in ["chatml", "llama2-chat", "rwkv"] {
        let args = [
            &ADAPTER[..],
            &["--template", template, "--max-seq-len", "200"],
        ]
        .concat();
        let run = place.train_on(&fixture("llama-tiny"), &chat, template, &args);
        let (first, last) = run.first_and_last_validation();
        assert!(
            last < 0.9 * first,
            "{template}: held-out loss {first} → {last}"
        );
    }
    let args = [&ADAPTER[..], &["--template", "alpaca"]].concat();
    let ran = place.try_on(&fixture("llama-tiny"), &chat, "alpaca", &args);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("40 row(s)") && ran.stderr.contains("chatml"),
        "{}",
        ran.stderr
    );

    let texts = place.path("texts.jsonl");
    let line = json!({"text": "the cat sat on the mat "}).to_string() + "\n";
    let other = json!({"text": "the dog sat on the log "}).to_string() + "\n";
    std::fs::write(&texts, (line + &other).repeat(20)).unwrap();
    let args = [&ADAPTER[..], &["--validation", "20"]].concat();
    let run = place.train_on(&fixture("llama-tiny"), &texts, "texts", &args);
    let (first, last) = run.first_and_last_validation();
    assert!(last < 0.9 * first, "held-out loss {first} → {last}");
}

#[test]
fn binidx_trains_like_its_source_rows() {
    let place = Place::new();
    let stem = place.path("corpus");
    let model = fixture("llama-tiny");
    let texts = place.path("texts.jsonl");
    let lines = row_lines();
    let rows = lines.iter().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = format!(
            "{} {}",
            row["instruction"].as_str().unwrap(),
            row["output"].as_str().unwrap()
        );
        json!({"text": text}).to_string()
    });
    std::fs::write(&texts, rows.collect::<Vec<_>>().join("\n")).unwrap();
    let args = [
        "data",
        "binidx",
        text(&texts),
        "--model",
        text(&model),
        "--out",
        text(&stem),
    ];
    let made = bone(args).succeeded();
    assert!(made.stdout.contains("40"), "{}", made.stdout);
    assert!(stem.with_extension("bin").is_file() && stem.with_extension("idx").is_file());
    let from_texts = place.train_on(&model, &texts, "texts", &ADAPTER).numbers();
    for cut in ["pad", "only"] {
        let args = [&ADAPTER[..], &["--binidx-cut", cut]].concat();
        let run = place.train_on(&model, &stem.with_extension("idx"), cut, &args);
        let numbers = run.numbers();
        let off = numbers.iter().zip(&from_texts).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f64::max) < 1e-5, "{cut}");
    }
}
