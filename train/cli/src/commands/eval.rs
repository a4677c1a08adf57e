//! `bone eval`: score a model.

use crate::answer::{Answering, Prompts};
use crate::error::CommandError;
use crate::output::line;
use crate::session::SessionArgs;
use bone_data::{FieldMap, Message, RenderError, Role, Selection, Template};
use bone_grade::{Rule, grade};
use bone_lm::generate::{self, EndedRow};
use bone_lm::sampling::SamplingConfig;
use bone_tokenizer::Piece;
use bone_train::report::tell;
use bone_train::run::fingerprint::Hash;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use progress::Progress;
use questions::Question;
use results::{Answer, Ended};
use resume::Unfinished;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

mod perplexity;
mod progress;
mod questions;
mod results;
mod resume;

pub use bone_grade::Benchmark;
pub use results::{Part, Summary};

/// What to score it by.
#[derive(Debug, clap::Subcommand)]
pub enum EvalCommand {
    /// Accuracy on GSM8K, grade-school mathematics (Cobbe et al. 2021)
    Gsm8k(QuestionArgs),
    /// Accuracy on MATH, competition mathematics (Hendrycks et al. 2021)
    Math(QuestionArgs),
    /// Perplexity of a text or of the answers in rows
    Ppl(perplexity::PerplexityArgs),
}

/// Questions, and how they are asked.
#[derive(Debug, clap::Args)]
pub struct QuestionArgs {
    /// Questions: a file of GSM8K or MATH; `FILE[0:100]` selects the first 100
    #[arg(long, value_name = "FILE")]
    pub data: Selection,
    /// Field names of other files: instruction=FIELD,response=FIELD
    #[arg(long, value_name = "MAP")]
    pub field_map: Option<FieldMap>,
    /// Output file (JSON); a stopped evaluation is resumed from it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace existing results
    #[arg(long)]
    pub overwrite: bool,
    /// Prompt template: trained, or as for bone train [default: trained, else alpaca]
    ///
    /// `trained` is the template of the training run.
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "shots")]
    pub template: Option<String>,
    /// Number of worked examples (Q: … A: …) before each question, instead of a template
    #[arg(long, value_name = "N", requires = "shots_file")]
    pub shots: Option<usize>,
    /// File of worked examples, in the format of --data; the first N are used
    #[arg(long, value_name = "FILE", requires = "shots")]
    pub shots_file: Option<Selection>,
    /// Rule that finds and compares answers; see docs/evaluation.md [default: flexible-extract for
    /// gsm8k, boxed for math]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Rule::NAMES).try_map(|name| name.parse::<Rule>()))]
    pub rule: Option<Rule>,
    /// Questions per batch
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,
    /// Maximum number of tokens per answer
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub max_new_tokens: usize,
    /// The model.
    #[command(flatten)]
    pub session: SessionArgs,
}

impl QuestionArgs {
    /// Questions with the defaults for everything else.
    pub fn new(session: SessionArgs, data: Selection, out: PathBuf) -> Self {
        Self {
            session,
            data,
            field_map: None,
            out,
            overwrite: false,
            template: None,
            shots: None,
            shots_file: None,
            rule: None,
            batch_size: 16,
            max_new_tokens: 512,
        }
    }
}

/// Runs the evaluation.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(command: &EvalCommand) -> Result<(), CommandError> {
    match command {
        EvalCommand::Gsm8k(args) => questions(Benchmark::Gsm8k, args),
        EvalCommand::Math(args) => questions(Benchmark::Math, args),
        EvalCommand::Ppl(args) => perplexity::run(args),
    }
}

fn questions(benchmark: Benchmark, args: &QuestionArgs) -> Result<(), CommandError> {
    resume::check_new(&args.out, args.overwrite)?;
    let summary = score(benchmark, args)?;
    for (group, part) in &summary.groups {
        line!(
            "{group}: {} of {} correct ({:.2} %)",
            part.correct,
            part.questions,
            100.0 * part.accuracy
        );
    }
    line!(
        "{}: {} of {} correct, {:.2} % ± {:.2} (standard error), rule {}",
        benchmark.name(),
        summary.all.correct,
        summary.all.questions,
        100.0 * summary.all.accuracy,
        100.0 * summary.all.standard_error,
        args.rule.unwrap_or(benchmark.default_rule())
    );
    line!(
        "answers: {} missing, {} cut off, {} with a near tie; prompts too long: {}; {} tokens in {:.1} s",
        summary.without_answer,
        summary.cut_off,
        summary.near_ties,
        summary.not_asked,
        summary.tokens,
        summary.seconds
    );
    line!("results: {}", args.out.display());
    Ok(())
}

/// How to turn a question into a prompt: with a template, or after worked examples.
enum Asking {
    Template(Template),
    Examples(String),
}

impl Asking {
    fn pieces(&self, question: &str) -> Result<Vec<Piece>, RenderError> {
        match self {
            Self::Template(template) => template.prompt(&[Message::new(Role::User, question)]),
            Self::Examples(examples) => {
                let text = format!("{examples}Q: {question}\nA:");
                Ok(vec![Piece::Bos, Piece::read(text)])
            }
        }
    }

    /// Returns the texts that end an answer: a model without fine-tuning continues with them.
    fn stops(&self) -> Vec<String> {
        match self {
            Self::Template(template) => {
                let mut stops = template.stops();
                stops.push("\n### Instruction:".to_owned());
                stops
            }
            Self::Examples(_) => vec!["\n\nQ:".to_owned(), "\nQ:".to_owned()],
        }
    }
}

/// Asks every question without an answer, and writes the results.
///
/// # Errors
///
/// [`CommandError`].
pub fn score(benchmark: Benchmark, args: &QuestionArgs) -> Result<Summary, CommandError> {
    let started = Instant::now();
    let fields = args.field_map.as_ref();
    let questions = questions::read(benchmark, &args.data, fields)?;
    let (session, model) = args.session.open()?;
    let shots = args.shots.unwrap_or(0);
    let (asking, template) = if let Some(file) = &args.shots_file {
        let examples = questions::examples(benchmark, file, fields, shots)?;
        (Asking::Examples(examples), None)
    } else {
        let template = session.template_or(args.template.as_deref(), "alpaca")?;
        let name = template.to_string();
        (Asking::Template(template), Some(name))
    };
    // This runs before anything is written: a template may reject a question.
    let mut asked = Hash::default();
    let mut prompts = Vec::new();
    for question in &questions {
        let tokens = session.encode(&asking.pieces(&question.question)?)?;
        asked.bytes(question.gold.as_bytes());
        asked.bytes(&[0]);
        asked.tokens(&tokens);
        prompts.push(tokens);
    }
    fit(&prompts, session.info.positions)?;
    let (named, none) = (template.clone(), format!("none, {shots} examples"));
    tell(&format!("template: {}", named.unwrap_or(none)));
    let rule = args.rule.unwrap_or(benchmark.default_rule());
    // An evaluation resumes only with the same settings.
    let settings = json!({
        "bone": env!("CARGO_PKG_VERSION"),
        "task": benchmark,
        "rule": rule,
        "model": args.session.model.display().to_string(),
        "adapter": args.session.adapter.as_ref().map(|path| path.display().to_string()),
        "weights": args.session.fingerprint()?,
        "data": args.data.to_string(),
        "questions": questions.len(),
        "prompts": asked.text(),
        "template": template,
        "shots": shots,
        "shots_file": args.shots_file.as_ref().map(ToString::to_string),
        "max_new_tokens": args.max_new_tokens,
        "device": session.device.name.to_string(),
        "dtype": session.dtype,
        "batch_size": args.batch_size,
    });
    let (mut kept, mut answers) = Unfinished::open::<Answer>(&args.out, &settings)?;
    let answered: BTreeSet<_> = answers.iter().map(|answer| answer.index).collect();
    let all = questions.iter().zip(prompts).enumerate();
    let (left, prompts): (Vec<_>, Vec<_>) = all
        .filter(|(index, _)| !answered.contains(index))
        .map(|(index, (question, prompt))| ((index, question), prompt))
        .unzip();
    let (batch_size, tokens) = (args.batch_size as usize, args.max_new_tokens);
    let greedy = SamplingConfig::default();
    let answering = Answering::new(&session, asking.stops(), batch_size, tokens, greedy)?;
    let progress = Progress::new("answers", questions.len(), answered.len());
    let mut outputs = vec![String::new(); prompts.len()];
    if !left.is_empty() {
        model.with(Prompts {
            answering: &answering,
            prompts: &prompts,
            on: |prompt: usize, text: &str, ended: Option<EndedRow>| {
                outputs[prompt].push_str(text);
                let Some(row) = ended else {
                    return Ok(());
                };
                let output = std::mem::take(&mut outputs[prompt]);
                let answer = graded(benchmark, rule, left[prompt], output, &row);
                kept.push(&answer)?;
                answers.push(answer);
                let right = 100.0 * Part::of(&answers).accuracy;
                progress.step(1, "answered", &format!("{right:.1} % correct"));
                Ok(())
            },
        })?;
    }
    progress.finish();
    answers.sort_by_key(|answer| answer.index);
    let summary = Summary::of(&answers, started.elapsed().as_secs_f64());
    kept.finish(&json!({"settings": settings, "summary": summary, "answers": answers}))?;
    Ok(summary)
}

/// Reports the questions that do not fit.
///
/// # Errors
///
/// The list of these questions.
fn fit(prompts: &[Vec<u32>], positions: Option<usize>) -> Result<(), CommandError> {
    let positions = positions.unwrap_or(usize::MAX);
    let too_long = |prompt: &&Vec<u32>| prompt.len() >= positions;
    let (count, all) = (prompts.iter().filter(too_long).count(), prompts.len());
    let Some((first, prompt)) = prompts.iter().enumerate().find(|(_, p)| too_long(p)) else {
        return Ok(());
    };
    let what = format!(
        "{count} of {all} prompts fill the model's {positions} positions; the first is question {} with {} \
         tokens",
        first + 1,
        prompt.len()
    );
    if count == all {
        return Err(CommandError::usage(format!(
            "--data: {what}; use fewer --shots or a shorter --template"
        )));
    }
    tell(&format!(
        "warning: {what}; they are skipped and count as wrong"
    ));
    Ok(())
}

fn graded(
    benchmark: Benchmark,
    rule: Rule,
    (index, question): (usize, &Question),
    output: String,
    row: &EndedRow,
) -> Answer {
    let verdict = grade(benchmark, rule, &output, &question.gold);
    Answer {
        index,
        question: question.question.clone(),
        gold: question.gold.clone(),
        output,
        answer: verdict.answer,
        correct: verdict.correct,
        tokens: row.tokens.len(),
        ended: match row.why {
            generate::Ended::Stop(_) | generate::Ended::Caller => Ended::Stop,
            generate::Ended::MaxNewTokens => Ended::Length,
            generate::Ended::Positions => Ended::Positions,
            generate::Ended::PromptTooLong => Ended::PromptTooLong,
        },
        near_tie: row.near_tie,
        groups: question.groups.clone(),
    }
}
