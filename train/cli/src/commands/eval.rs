//! `bone eval`: score a model.

use crate::answer::{self, Answered, Answering, Prompts};
use crate::error::CommandError;
use crate::eval::resume::Unfinished;
use crate::eval::{Answer, Benchmark, Ended, Question, Questions, Results, Rule, Settings, Shots};
use crate::output::line;
use crate::session::{Session, SessionArgs};
use bone_data::{FieldMap, Selection, Template};
use bone_grade::grade;
use bone_lm::generate;
use bone_lm::sampling::SamplingConfig;
use bone_tokenizer::Piece;
use bone_train::report::tell;
use bone_train::run::fingerprint::Hash;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use progress::{Amount, Progress};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

mod perplexity;
mod progress;

/// What to score it by.
#[derive(Debug, clap::Subcommand)]
pub enum EvalCommand {
    /// Grade-school sums (Cobbe et al. 2021): share of right final numbers
    Gsm8k(QuestionArgs),
    /// Competition mathematics (Hendrycks et al. 2021): share of right final expressions
    Math(QuestionArgs),
    /// How well it foretells a text or the answers of rows
    Ppl(perplexity::PerplexityArgs),
}

/// Questions, and how they are asked.
#[derive(Debug, clap::Args)]
pub struct QuestionArgs {
    /// Who answers.
    #[command(flatten)]
    pub session: SessionArgs,
    /// The questions: GSM8K's question and answer, MATH's problem and solution; `FILE[0:100]` for
    /// some of them
    #[arg(long, value_name = "FILE")]
    pub data: Selection,
    /// Fields of other files: instruction=FIELD,response=FIELD
    #[arg(long, value_name = "MAP")]
    pub field_map: Option<FieldMap>,
    /// File for the results, as JSON; an evaluation that was stopped goes on
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace results that are there
    #[arg(long)]
    pub overwrite: bool,
    /// Template of the questions: trained for the one of the training run, or as for bone train
    /// [default: trained, else alpaca]
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "shots")]
    pub template: Option<String>,
    /// Worked examples before every question, as Q: and A:, in place of a template
    #[arg(long, value_name = "N", requires = "shots_file")]
    pub shots: Option<usize>,
    /// Where they are: rows like those of the questions, the first N of them
    #[arg(long, value_name = "FILE", requires = "shots")]
    pub shots_file: Option<Selection>,
    /// How answers are found and compared, see docs/data.md [default: flexible-extract for gsm8k,
    /// boxed for math]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Rule::NAMES).try_map(|name| name.parse::<Rule>()))]
    pub rule: Option<Rule>,
    /// Questions at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub max_new_tokens: usize,
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

/// Scores.
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
    progress::check_new(&args.out, args.overwrite)?;
    let results = score(benchmark, args)?;
    let Results {
        settings, summary, ..
    } = &results;
    for (group, part) in &summary.groups {
        line!(
            "{group}: {} of {} right ({:.2} %)",
            part.correct,
            part.questions,
            100.0 * part.accuracy
        );
    }
    line!(
        "{}: {} of {} right, {:.2} % ± {:.2} (standard error), by the rule {}",
        benchmark.name(),
        summary.all.correct,
        summary.all.questions,
        100.0 * summary.all.accuracy,
        100.0 * summary.all.standard_error,
        settings.rule
    );
    line!(
        "{} without an answer, {} cut off, {} too long to ask, {} with a near tie; {} tokens in \
         {:.1} s",
        summary.without_answer,
        summary.cut_off,
        summary.not_asked,
        summary.near_ties,
        summary.tokens,
        summary.seconds
    );
    line!("results: {}", args.out.display());
    Ok(())
}

/// How a question becomes what the model reads.
enum Asking {
    Template(Template),
    Shots(Shots),
}

impl Asking {
    fn of(
        benchmark: Benchmark,
        args: &QuestionArgs,
        session: &Session,
    ) -> Result<Self, CommandError> {
        let fields = args.field_map.as_ref();
        if let (Some(count), Some(file)) = (args.shots, &args.shots_file) {
            return Ok(Self::Shots(Shots::read(benchmark, file, fields, count)?));
        }
        let name = args.template.as_deref();
        Ok(Self::Template(session.template_or_trained(name)?))
    }

    fn pieces(&self, question: &Question) -> Result<Vec<Piece>, CommandError> {
        match self {
            Self::Template(template) => Ok(template.prompt(&question.messages())?),
            Self::Shots(shots) => {
                let text = shots.prompt(&question.question);
                Ok(vec![Piece::Bos, Piece::read(text)])
            }
        }
    }

    /// Texts that end an answer.
    fn stops(&self) -> Vec<String> {
        match self {
            Self::Template(template) => {
                let mut stops = template.stops();
                // What a model that is not tuned goes on with.
                stops.push("\n### Instruction:".to_owned());
                stops
            }
            // The model goes on with a question of its own.
            Self::Shots(_) => vec!["\n\nQ:".to_owned(), "\nQ:".to_owned()],
        }
    }
}

/// Asks every question that has no answer yet, and writes the results.
///
/// # Errors
///
/// [`CommandError`].
pub fn score(benchmark: Benchmark, args: &QuestionArgs) -> Result<Results, CommandError> {
    let started = Instant::now();
    let Questions(questions) = Questions::read(benchmark, &args.data, args.field_map.as_ref())?;
    let (session, model) = args.session.open()?;
    let asking = Asking::of(benchmark, args, &session)?;
    // Before anything is written: a template may refuse a question.
    let pieces = questions.iter().map(|question| asking.pieces(question));
    let prompts = pieces
        .map(|pieces| session.encode(&pieces?))
        .collect::<Result<Vec<_>, _>>()?;
    fit(&prompts, session.info.positions)?;
    let mut asked = Hash::default();
    for (question, tokens) in questions.iter().zip(&prompts) {
        asked.bytes(question.gold.as_bytes());
        asked.bytes(&[0]);
        asked.tokens(tokens);
    }
    let settings = Settings {
        bone: env!("CARGO_PKG_VERSION").to_owned(),
        task: benchmark,
        rule: args.rule.unwrap_or(benchmark.default_rule()),
        model: args.session.model.clone(),
        adapter: args.session.adapter.clone(),
        weights: args.session.fingerprint()?,
        data: args.data.to_string(),
        questions: questions.len(),
        prompts: asked.text(),
        template: match &asking {
            Asking::Template(template) => Some(template.to_string()),
            Asking::Shots(_) => None,
        },
        shots: args.shots.unwrap_or(0),
        shots_file: args.shots_file.as_ref().map(ToString::to_string),
        max_new_tokens: args.max_new_tokens,
        device: session.device.name.to_string(),
        dtype: session.dtype.clone(),
        batch_size: args.batch_size as usize,
    };
    match &asking {
        Asking::Template(template) => tell(&format!("template: {template}")),
        Asking::Shots(_) => tell(&format!("template: none, {} examples", settings.shots)),
    }
    let rule = settings.rule;
    let (mut kept, mut answers) = Unfinished::open::<Answer>(&args.out, &settings)?;
    let answered: BTreeSet<_> = answers.iter().map(|answer| answer.index).collect();
    let (left, prompts): (Vec<&Question>, Vec<_>) = questions
        .iter()
        .zip(prompts)
        .filter(|(question, _)| !answered.contains(&question.index))
        .unzip();
    let (batch_size, greedy) = (args.batch_size as usize, SamplingConfig::default());
    let tokens = args.max_new_tokens;
    let answering = Answering::new(&session, asking.stops(), batch_size, tokens, greedy)?;
    let mut progress = Progress::new(Amount {
        what: "answers",
        all: questions.len(),
        before: answered.len(),
        right: answers.iter().filter(|answer| answer.correct).count(),
        at_once: batch_size,
    });
    if !left.is_empty() {
        model.with(Prompts {
            answering: &answering,
            prompts: &prompts,
            on: |said: answer::Answer<'_>| {
                if let answer::Answer::Ended(answered) = said {
                    let answer = graded(benchmark, rule, left[answered.prompt], answered);
                    progress.answered(answer.correct);
                    kept.push(&answer)?;
                    answers.push(answer);
                }
                Ok(())
            },
        })?;
    }
    progress.finish();
    let results = Results::of(settings, answers, started.elapsed().as_secs_f64());
    kept.finish(&args.out, &results)?;
    Ok(results)
}

/// Says which questions cannot be asked.
///
/// # Errors
///
/// All of them.
fn fit(prompts: &[Vec<u32>], positions: Option<usize>) -> Result<(), CommandError> {
    let Some(positions) = positions else {
        return Ok(());
    };
    let too_long = prompts.iter().enumerate();
    let too_long: Vec<_> = too_long.filter(|(_, p)| p.len() >= positions).collect();
    let Some((first, prompt)) = too_long.first() else {
        return Ok(());
    };
    let what = format!(
        "{} of {} prompts fill the model's {positions} positions, the first the one of question {} \
         with {} tokens",
        too_long.len(),
        prompts.len(),
        first + 1,
        prompt.len()
    );
    if too_long.len() == prompts.len() {
        return Err(CommandError::usage(format!(
            "--data: {what}; ask with fewer --shots, or a shorter --template"
        )));
    }
    tell(&format!(
        "warning: {what}; they are not asked, and count as wrong"
    ));
    Ok(())
}

fn graded(benchmark: Benchmark, rule: Rule, question: &Question, answered: Answered) -> Answer {
    let verdict = grade(benchmark, rule, &answered.text, &question.gold);
    Answer {
        index: question.index,
        question: question.question.clone(),
        gold: question.gold.clone(),
        output: answered.text,
        answer: verdict.answer,
        correct: verdict.correct,
        tokens: answered.tokens,
        ended: match answered.why {
            generate::Ended::Stop(_) | generate::Ended::Caller => Ended::Stop,
            generate::Ended::MaxNewTokens => Ended::Length,
            generate::Ended::Positions => Ended::Positions,
            generate::Ended::PromptTooLong => Ended::PromptTooLong,
        },
        near_tie: answered.near_tie,
        groups: question.groups.clone(),
    }
}
