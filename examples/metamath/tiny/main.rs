//! Runs the protocol of the Bone paper's table on tiny models of both architectures. Rows, steps
//! and scores are the same for every method, with several seeds.
//!
//! `metamath_tiny --llama2 DIR --rwkv6 FILE --train ROWS --test QUESTIONS --out DIR` prints the table
//! and draws the loss curves; README.md in the folder above has the results. Every run is a separate
//! process, so that each has its own peak memory.

mod job;
mod methods;
mod svg;
mod table;

use job::{Job, Outcome};
use methods::{Method, methods};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use table::Row;

/// Models, data and length of the runs.
#[derive(Debug, Clone, clap::Parser)]
struct Args {
    /// A tiny LLaMA, as a Hugging Face folder
    #[arg(long, value_name = "DIR")]
    llama2: Option<PathBuf>,
    /// A tiny RWKV6: .pth, .safetensors or a folder
    #[arg(long, value_name = "DIR|FILE")]
    rwkv6: Option<PathBuf>,
    /// Training rows, as for `bone train`
    #[arg(long, value_name = "FILES")]
    train: String,
    /// Questions of GSM8K
    #[arg(long, value_name = "FILE")]
    test: String,
    /// Folder for the curves, the runs and the table; new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Optimizer steps of every run
    #[arg(long, value_name = "N", default_value_t = 60)]
    steps: usize,
    /// Seeds of every method
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Learning rates; each method uses the one with the lowest held-out loss,
    /// measured with an additional seed
    #[arg(long, value_name = "RATES", value_delimiter = ',', default_values_t = [5e-4, 2e-3, 8e-3])]
    rates: Vec<f64>,
    /// Maximum sequence length in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    max_seq_len: usize,
    /// Rows in each step
    #[arg(long, value_name = "ROWS", default_value_t = 8)]
    batch_size: usize,
    /// Maximum number of tokens in an answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
}

fn main() -> ExitCode {
    // This process was started for one run.
    if let Ok(job) = std::env::var(job::VARIABLE) {
        return job::run(&job);
    }
    match compare(&<Args as clap::Parser>::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<(), String> {
    let models = [("LLaMA2", &args.llama2), ("RWKV6", &args.rwkv6)];
    let models: Vec<_> = models
        .into_iter()
        .filter_map(|(name, path)| Some((name, path.as_deref()?)))
        .collect();
    if models.is_empty() {
        return Err("there is nothing to train: give --llama2 or --rwkv6".into());
    }
    let mut text = String::new();
    for (name, model) in models {
        let rows = run_all(name, model, args)?;
        let title = format!("{name}: {}", model.display());
        let table = table::markdown(&title, &rows, args.seeds);
        println!("{table}");
        text.push_str(&table);
        text.push('\n');
        let curves = svg::curves(&title, &rows);
        write(
            &args.out.join(format!("{}.svg", name.to_lowercase())),
            &curves,
        )?;
    }
    write(&args.out.join("table.md"), &text)
}

/// The prompt template of each architecture in the paper's experiments.
fn template(architecture: &str) -> &'static str {
    match architecture {
        "LLaMA2" => "alpaca",
        _ => "rwkv",
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns a job for every method and seed, and one for the untrained model.
fn run_all(architecture: &str, model: &Path, args: &Args) -> Result<Vec<Row>, String> {
    let folder = args.out.join(architecture.to_lowercase());
    let job = |name: &str, seed: u64, training: Option<(&Method, f64)>| Job {
        model: model.to_path_buf(),
        train: args.train.clone(),
        test: Some(args.test.clone()),
        out: folder.join(format!("{name}-{seed}")),
        method: training
            .map(|(method, rate)| method.with_rate(rate))
            .unwrap_or_default(),
        template: template(architecture).to_owned(),
        trains: training.is_some(),
        seed,
        steps: args.steps,
        max_seq_len: args.max_seq_len,
        batch_size: args.batch_size,
        max_new_tokens: args.max_new_tokens,
    };
    let before = start(&job("before", 0, None))?;
    let mut rows = vec![Row::new("before", None, vec![before])];
    for method in methods(architecture) {
        let mut best = (f64::INFINITY, None);
        for rate in &args.rates {
            let loss = match &args.rates[..] {
                [_] => 0.0,
                _ => {
                    eprintln!("{architecture} {} rate {rate}", method.name);
                    let name = format!("{}-rate-{rate}", method.name);
                    let untested = Job {
                        test: None,
                        ..job(&name, args.seeds, Some((&method, *rate)))
                    };
                    start(&untested)?.held_out.1
                }
            };
            if loss < best.0 {
                best = (loss, Some(*rate));
            }
        }
        let Some(rate) = best.1 else {
            return Err(format!("{}: no rate has a finite loss", method.name));
        };
        let seeds = (0..args.seeds).map(|seed| {
            eprintln!("{architecture} {} seed {seed}", method.name);
            start(&job(method.name, seed, Some((&method, rate))))
        });
        let outcomes = seeds.collect::<Result<_, _>>()?;
        rows.push(Row::new(method.name, Some(rate), outcomes));
    }
    Ok(rows)
}

/// Runs a job in a separate process.
fn start(job: &Job) -> Result<Outcome, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let text = serde_json::to_string(job).map_err(|error| error.to_string())?;
    let output = Command::new(this)
        .env(job::VARIABLE, text)
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(job::MARK));
    match line {
        Some(line) if output.status.success() => {
            serde_json::from_str(line).map_err(|error| error.to_string())
        }
        _ => Err(format!(
            "{}: {}",
            job.out.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
