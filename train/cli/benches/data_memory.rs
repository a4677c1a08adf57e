//! Peak memory of 20 steps on 400,000 rows compared with 20 steps on 400, from JSON Lines, zstd and
//! Parquet.
//!
//! `cargo bench -p bone-cli --bench data_memory`. Exit code 1 if the many rows take more than 300 MB above
//! the few, or if the three files give different batches.

use bone_train::config::{Given, resolve};
use bone_train::report::{Event, ReportError, Reporter};
use bone_train::run::{self, Host};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

const ROWS: usize = 400_000;
const FEW: usize = 400;
const BOUND_MB: f64 = 300.0;

/// Returns a question and an answer of about MetaMathQA's size. The number makes them unique.
fn row(number: usize) -> (String, String) {
    let (apples, pears, days) = (number % 97, number % 89, number % 83);
    let question = format!(
        "Question {number}: A farmer has {apples} baskets of apples and {pears} baskets of pears. \
         If he sells one basket of each every day for {days} days, and a neighbour brings him two \
         more baskets of apples on the last of them, how many baskets of fruit does he have then?"
    );
    let answer = format!(
        "There are {apples} + {pears} = {} baskets at first. In {days} days he sells 2 * {days} = \
         {} of them. The neighbour brings 2. So there are {} baskets left. The answer is: {}",
        apples + pears,
        2 * days,
        (apples + pears + 2) as i64 - 2 * days as i64,
        (apples + pears + 2) as i64 - 2 * days as i64,
    );
    (question, answer)
}

fn line(number: usize) -> String {
    let (query, response) = row(number);
    format!(
        "{}\n",
        serde_json::json!({"query": query, "response": response})
    )
}

fn write_lines(path: &Path, rows: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    (0..rows).try_for_each(|number| file.write_all(line(number).as_bytes()))?;
    file.flush()
}

fn write_parquet(path: &Path) {
    let schema = "message row { required binary query (UTF8); required binary response (UTF8); }";
    let schema = parquet::schema::parser::parse_message_type(schema).expect("a schema");
    let file = File::create(path).expect("made");
    let mut writer =
        SerializedFileWriter::new(file, schema.into(), Default::default()).expect("begun");
    const GROUP: usize = 10_000;
    for start in (0..ROWS).step_by(GROUP) {
        let rows: Vec<_> = (start..start + GROUP).map(row).collect();
        let mut group = writer.next_row_group().expect("begun");
        for column in 0..2 {
            let text = |row: &(String, String)| match column {
                0 => ByteArray::from(row.0.as_str()),
                _ => ByteArray::from(row.1.as_str()),
            };
            let values: Vec<_> = rows.iter().map(text).collect();
            let mut writer = group.next_column().expect("begun").expect("two columns");
            let typed = writer.typed::<ByteArrayType>();
            typed.write_batch(&values, None, None).expect("written");
            writer.close().expect("closed");
        }
        group.close().expect("closed");
    }
    writer.close().expect("closed");
}

/// Results that a run reports.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    losses: Vec<f64>,
    peak: u64,
}

impl Reporter for Heard {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(step) => self.losses.push(step.loss),
            Event::Finish(summary) => self.peak = summary.peak_resident_bytes,
            _ => {}
        }
        Ok(())
    }
}

/// Environment variable that names the data for a training process.
const DATA: &str = "BONE_BENCH_DATA";

fn train(data: &Path) {
    let out = tempfile::tempdir().expect("a folder");
    let model = out.path().join("model");
    std::fs::create_dir_all(&model).expect("made");
    // A byte model is small, so the data dominates the memory.
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 256,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true,
    });
    std::fs::write(model.join("config.json"), config.to_string()).expect("written");
    let set = [
        format!("model={}", model.display()),
        format!("data={}", data.display()),
        format!("out={}", out.path().join("out").display()),
        "init=random".into(),
        "method=full".into(),
        "max_steps=20".into(),
        "max_seq_len=1024".into(),
        "validation=8".into(),
        "device=cpu".into(),
    ];
    let given = Given {
        set: set.to_vec(),
        ..Given::default()
    };
    let config = resolve(&given).expect("valid");
    let mut heard = Heard::default();
    run::train(&config, Host::new(&mut heard)).expect("it trains");
    println!("{} {:?}", heard.peak, heard.losses);
}

fn measure(name: &str, path: &Path) -> (f64, String) {
    let started = Instant::now();
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .env(DATA, path)
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((peak, losses)) = said.trim().split_once(' ') else {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        std::process::exit(1);
    };
    let peak = peak.parse::<f64>().expect("a number") / 1e6;
    println!(
        "{name:28} {:6.0} MB of file, peak {peak:6.0} MB, {:5.1} s",
        std::fs::metadata(path).map_or(0.0, |file| file.len() as f64 / 1e6),
        started.elapsed().as_secs_f64()
    );
    (peak, losses.to_owned())
}

fn main() {
    if let Some(data) = std::env::var_os(DATA) {
        return train(&PathBuf::from(data));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write_lines(&path("few.jsonl"), FEW).expect("written");
    write_lines(&path("many.jsonl"), ROWS).expect("written");
    write_parquet(&path("many.parquet"));
    let lines = File::open(path("many.jsonl")).expect("there");
    let compressed = File::create(path("many.jsonl.zst")).expect("made");
    zstd::stream::copy_encode(lines, compressed, 1).expect("written");

    let (few, _) = measure("400 rows, JSON Lines", &path("few.jsonl"));
    let mut runs = Vec::new();
    for name in ["many.jsonl", "many.jsonl.zst", "many.parquet"] {
        runs.push(measure(&format!("400,000 rows, {name}"), &path(name)));
    }
    let most = runs.iter().map(|(peak, _)| peak - few).fold(0.0, f64::max);
    let same = runs.iter().all(|(_, losses)| *losses == runs[0].1);
    println!("above the few rows           {most:6.0} MB, at most {BOUND_MB} allowed");
    println!("the same batches from all    {same}");
    if most > BOUND_MB || !same {
        std::process::exit(1);
    }
}
