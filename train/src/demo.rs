//! `bone demo`: the whole story on a model that is bundled with the binary.

use crate::commands::generate::{Request, answer};
use crate::commands::merge::merge;
use crate::commands::{CommandError, train};
use crate::config::{MethodName, RawConfig};
use crate::data::{Holdout, Row};
use crate::report::{self, Event, Reporter};
use bone_lm::sampling::SamplingConfig;
use bone_lm::tokenizer::TokenizerChoice;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub mod task;

/// The bundled model: files as they lie in its folder.
const LLAMA2: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("../demo/llama2/config.json")),
    (
        "tokenizer.json",
        include_bytes!("../demo/llama2/tokenizer.json"),
    ),
    (
        "model.safetensors",
        include_bytes!("../demo/llama2/model.safetensors"),
    ),
];

const HELD_OUT_ROWS: usize = 200;
/// Prompts whose answers are shown.
const SHOWN: usize = 5;

/// What the demo is run with.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Folder for everything the demo writes [default: the first free of bone-demo, bone-demo-2, …]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Optimizer steps
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// What to run on; `bone devices` lists it
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}

/// Runs the demo and prints what happens.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &DemoArgs) -> Result<(), CommandError> {
    let started = Instant::now();
    let out = folder(args.out.as_deref())?;
    let base = out.join("base");
    for (name, bytes) in LLAMA2 {
        write(&base.join(name), bytes)?;
    }
    let (rows, held_out) = task::sums_in_words(HELD_OUT_ROWS);
    let data = out.join("sums-in-words.jsonl");
    write(&data, task::to_jsonl(&rows).as_bytes())?;
    write(
        &out.join("held-out.jsonl"),
        task::to_jsonl(&held_out).as_bytes(),
    )?;

    println!(
        "A tiny LLaMA (600,000 parameters) learned two things before: sums in digits, and numbers\n\
         in words. It was never asked for a sum in words. Bone teaches it that, here and now.\n"
    );
    let known = ["17+25=".to_string(), "42 in words: ".to_string()];
    show("What it can do:", &known, &ask(&base, None, &known, args)?);

    let prompts: Vec<_> = held_out.iter().map(|row| row.instruction.clone()).collect();
    let before = ask(&base, None, &prompts, args)?;
    show("The new task, before:", &prompts[..SHOWN], &before[..SHOWN]);
    let score_before = score(&held_out, &before);
    println!(
        "{}\n",
        line("exact match before", score_before, held_out.len())
    );

    println!(
        "Fine-tuning on {} rows that share no question with those, not even turned round:",
        rows.len()
    );
    let run = out.join("run");
    let config = settings(&base, &data, &run, args).validate()?;
    train::run_config(&config, &mut Quiet(report::console()))?;

    let after = ask(&base, Some(&run), &prompts, args)?;
    show(
        "\nThe same questions, after:",
        &prompts[..SHOWN],
        &after[..SHOWN],
    );
    let score_after = score(&held_out, &after);
    println!(
        "{}",
        line("exact match before", score_before, held_out.len())
    );
    println!(
        "{}\n",
        line("exact match after ", score_after, held_out.len())
    );

    let merged = out.join("merged");
    let agreement = merge(&base, &run, &merged, &args.device)?;
    println!("Merged into a model of its own; merged against adapted: {agreement}");
    let alone = ask(&merged, None, &prompts, args)?;
    let same = alone.iter().zip(&after).filter(|(a, b)| a == b).count();
    println!(
        "The merged model gives the same answer to {same} of {} questions.\n",
        prompts.len()
    );
    whats_where(&out, started);
    Ok(())
}

fn settings(base: &Path, data: &Path, out: &Path, args: &DemoArgs) -> RawConfig {
    RawConfig {
        model: Some(base.to_path_buf()),
        data: Some(data.to_path_buf()),
        out: Some(out.to_path_buf()),
        method: Some(MethodName::Bone),
        rank: Some(32),
        template: Some("plain".into()),
        max_seq_len: Some(64),
        max_steps: Some(args.steps as usize),
        batch_size: Some(32),
        learning_rate: Some(3e-3),
        warmup_ratio: Some(0.05),
        validation: Some(Holdout::Count(64)),
        // So small a model has memory to spare.
        recompute: Some(false),
        device: Some(args.device.clone()),
        ..RawConfig::default()
    }
}

/// Leaves out the settings, which a run of one's own shows.
struct Quiet(Box<dyn Reporter>);

impl Reporter for Quiet {
    fn report(&mut self, event: Event<'_>) -> Result<(), report::ReportError> {
        match event {
            Event::Start(start) => {
                let start = report::StartReport {
                    settings: Vec::new(),
                    ..start.clone()
                };
                self.0.report(Event::Start(&start))
            }
            Event::Finish(_) | Event::Phase(_) => Ok(()),
            other => self.0.report(other),
        }
    }
}

fn ask(
    model: &Path,
    adapter: Option<&Path>,
    prompts: &[String],
    args: &DemoArgs,
) -> Result<Vec<String>, CommandError> {
    answer(
        &Request {
            model,
            adapter,
            tokenizer: &TokenizerChoice::Auto,
            prompts,
            sampling: SamplingConfig::default(),
            max_new_tokens: 32,
            device: &args.device,
        },
        |_| {},
    )
}

fn show(title: &str, prompts: &[String], answers: &[String]) {
    println!("{title}");
    for (prompt, answer) in prompts.iter().zip(answers) {
        println!("  {prompt}{}", report::printable(answer));
    }
}

fn score(rows: &[Row], answers: &[String]) -> usize {
    rows.iter()
        .zip(answers)
        .filter(|(row, answer)| row.response == answer.trim())
        .count()
}

fn line(name: &str, right: usize, of: usize) -> String {
    let share = 100.0 * right as f64 / of.max(1) as f64;
    format!("{name}: {right} of {of} held-out questions ({share:.1} %)")
}

fn whats_where(out: &Path, started: Instant) {
    let out = out.display();
    println!("Everything lies in {out}:");
    for (path, what) in [
        ("base/", "the model before"),
        ("sums-in-words.jsonl", "the rows it was fine-tuned on"),
        ("run/adapter/", "the adapter, as Hugging Face PEFT reads it"),
        ("run/config.toml", "every setting of the run"),
        ("run/metrics.jsonl", "its curves"),
        ("merged/", "the merged model, a Hugging Face folder"),
    ] {
        println!("  {path:<22} {what}");
    }
    println!("\nWhat to type next:");
    // As this program was called, which need not be on the path.
    let bone = std::env::args().next().unwrap_or_else(|| "bone".into());
    println!("  {bone} generate --model {out}/base --adapter {out}/run --prompt '31+8 in words: '");
    println!("  {bone} train --model YOUR_MODEL --data YOUR_ROWS.jsonl --out YOUR_RUN");
    println!("\n{:.0} seconds in all.", started.elapsed().as_secs_f64());
}

/// The folder to write to: as asked for, new or empty; else the first free name.
fn folder(asked: Option<&Path>) -> Result<PathBuf, CommandError> {
    let free = |path: &Path| {
        std::fs::read_dir(path).map_or(!path.exists(), |mut entries| entries.next().is_none())
    };
    match asked {
        Some(path) if free(path) => Ok(path.to_path_buf()),
        Some(path) => Err(CommandError::Path {
            path: path.to_path_buf(),
            reason: "already there and not empty; name another folder with --out".into(),
        }),
        None => {
            let names = std::iter::once("bone-demo".to_string())
                .chain((2..1000).map(|number| format!("bone-demo-{number}")));
            names
                .map(PathBuf::from)
                .find(|path| free(path))
                .ok_or_else(|| {
                    CommandError::Usage(
                        "name a folder with --out: bone-demo to bone-demo-999 are taken".into(),
                    )
                })
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let result = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, bytes));
    result.map_err(|error| CommandError::Path {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })
}
