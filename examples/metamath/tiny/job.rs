//! One run: training, then the score.

use bone_cli::commands::eval::{Benchmark, QuestionArgs, score};
use bone_cli::error::CommandError;
use bone_cli::session::SessionArgs;
use bone_train::config::{Given, resolve};
use bone_train::report::{Event, ReportError, Reporter, Summary};
use bone_train::run::{self, Host};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::ExitCode;

/// The environment variable that passes a job to its process.
pub(crate) const VARIABLE: &str = "BONE_METAMATH_JOB";
/// The prefix of the line with the outcome.
pub(crate) const MARK: &str = "outcome: ";

/// One run to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) model: PathBuf,
    pub(crate) train: String,
    /// The questions; `None` skips scoring.
    pub(crate) test: Option<String>,
    pub(crate) out: PathBuf,
    /// Settings of the method.
    pub(crate) method: Vec<String>,
    /// Whether to train. A single step at rate 0 only measures the loss before training.
    pub(crate) trains: bool,
    pub(crate) template: String,
    pub(crate) seed: u64,
    pub(crate) steps: usize,
    pub(crate) max_seq_len: usize,
    pub(crate) batch_size: usize,
    pub(crate) max_new_tokens: usize,
}

/// The outcome of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Training loss of every step.
    pub(crate) losses: Vec<f64>,
    /// Held-out loss before the first step and after the last.
    pub(crate) held_out: (f64, f64),
    pub(crate) trained_parameters: usize,
    pub(crate) set_up_seconds: f64,
    /// Median time of a step.
    pub(crate) step_seconds: f64,
    pub(crate) peak_bytes: u64,
    pub(crate) correct: usize,
    pub(crate) questions: usize,
}

#[derive(Default)]
struct Heard {
    losses: Vec<f64>,
    seconds: Vec<f64>,
    summary: Summary,
}

impl Reporter for Heard {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(step) => {
                self.losses.push(step.loss);
                self.seconds.push(step.seconds);
            }
            Event::Finish(summary) => self.summary = summary.clone(),
            _ => {}
        }
        Ok(())
    }
}

/// Runs the job and prints its outcome.
pub(crate) fn run(text: &str) -> ExitCode {
    let outcome = serde_json::from_str(text)
        .map_err(|error| error.to_string())
        .and_then(|job| outcome(&job).map_err(|error| error.to_string()))
        .and_then(|outcome| serde_json::to_string(&outcome).map_err(|error| error.to_string()));
    match outcome {
        Ok(outcome) => {
            println!("{MARK}{outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn outcome(job: &Job) -> Result<Outcome, CommandError> {
    let path = |path: &PathBuf| path.display().to_string();
    let train = job.out.join("train");
    let mut set = vec![
        format!("model={}", path(&job.model)),
        format!("data={}", job.train),
        format!("out={}", path(&train)),
        format!("template={}", job.template),
        format!("seed={}", job.seed),
        format!("max_steps={}", if job.trains { job.steps } else { 1 }),
        format!("eval_every={}", job.steps),
        format!("max_seq_len={}", job.max_seq_len),
        format!("batch_size={}", job.batch_size),
        "validation=64".into(),
        "device=cpu".into(),
        // Such a small model needs no memory savings.
        "recompute=false".into(),
    ];
    match job.trains {
        true => set.extend(job.method.iter().cloned()),
        false => set.push("method=miss".into()),
    }
    let given = Given {
        set,
        ..Given::default()
    };
    let mut heard = Heard::default();
    run::train(&resolve(&given)?, Host::new(&mut heard))?;
    let (correct, questions) = match &job.test {
        Some(test) => score_of(job, test, train)?,
        None => (0, 0),
    };
    let Heard {
        losses,
        mut seconds,
        summary,
    } = heard;
    seconds.sort_by(f64::total_cmp);
    let first = summary.first_validation_loss.unwrap_or(f64::NAN);
    Ok(Outcome {
        held_out: (
            first,
            summary
                .last_validation_loss
                .filter(|_| job.trains)
                .unwrap_or(first),
        ),
        losses: if job.trains { losses } else { Vec::new() },
        trained_parameters: if job.trains {
            summary.trained_parameters
        } else {
            0
        },
        set_up_seconds: summary.set_up_seconds,
        step_seconds: seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN),
        peak_bytes: summary.peak_resident_bytes,
        correct,
        questions,
    })
}

/// Returns the number of correct answers, and of all questions.
fn score_of(job: &Job, test: &str, train: PathBuf) -> Result<(usize, usize), CommandError> {
    let full = job.method.iter().any(|setting| setting == "method=full");
    let session = match (job.trains, full) {
        (false, _) => SessionArgs::of(&job.model),
        (true, true) => SessionArgs::of(train.join("model")),
        (true, false) => SessionArgs {
            adapter: Some(train),
            ..SessionArgs::of(&job.model)
        },
    };
    let session = SessionArgs {
        device: "cpu".into(),
        ..session
    };
    let test = test
        .parse()
        .map_err(|error: String| CommandError::usage(error))?;
    let mut questions = QuestionArgs::new(session, test, job.out.join("gsm8k.json"));
    questions.template = Some(job.template.clone());
    questions.max_new_tokens = job.max_new_tokens;
    let score = score(Benchmark::Gsm8k, &questions)?.all;
    Ok((score.correct, score.questions))
}
