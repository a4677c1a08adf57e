//! What the demo does with one model, and says of it.

use super::models::Bundled;
use super::task::{self, Row};
use super::{DemoArgs, HELD_OUT_ROWS, write};
use crate::commands::generate::{Request, answer};
use crate::commands::merge::{MergeArgs, merge};
use crate::error::CommandError;
use crate::output::line;
use crate::session::SessionArgs;
use crate::terminal;
use bone_data::grouped;
use bone_lm::sampling::SamplingConfig;
use bone_train::models::read_config;
use bone_train::report::{self, Event, Reporter};
use bone_train::run::{Host, train};
use std::path::Path;

/// Prompts whose answers are shown.
const SHOWN: usize = 5;

/// Held-out questions that were answered exactly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) before: Score,
    pub(super) after: Score,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    right: usize,
    of: usize,
}

impl Score {
    fn of(rows: &[Row], answers: &[String]) -> Self {
        let pairs = rows.iter().zip(answers);
        Self {
            right: pairs.filter(|(row, a)| row.response == a.trim()).count(),
            of: rows.len(),
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { right, of } = self;
        let share = 100.0 * *right as f64 / (*of).max(1) as f64;
        write!(f, "{right} of {of} held-out questions ({share:.1} %)")
    }
}

/// Shows what the model can do, fine-tunes it, and shows what changed. Everything goes to `out`.
///
/// # Errors
///
/// [`CommandError`].
pub(super) fn tell(model: &Bundled, out: &Path, args: &DemoArgs) -> Result<Outcome, CommandError> {
    let base = out.join("base");
    for (name, bytes) in model.files() {
        write(&base.join(name), bytes)?;
    }
    let (rows, mut held_out) = task::sums_in_words(HELD_OUT_ROWS);
    let data = out.join("sums-in-words.jsonl");
    write(&data, task::to_jsonl(&rows).as_bytes())?;
    write(
        &out.join("held-out.jsonl"),
        task::to_jsonl(&held_out).as_bytes(),
    )?;

    line!(
        "A tiny {} ({} parameters) learned two things before: sums in digits, and numbers\n\
         in words. It was never asked for a sum in words. Bone teaches it that, here and now.\n",
        model.architecture.name(),
        grouped(read_config(&base)?.shape.parameters)
    );
    let known = ["17+25=".to_string(), "42 in words: ".to_string()];
    show("What it can do:", &known, &ask(&base, None, &known, args)?);

    if let Some(questions) = args.questions {
        held_out.truncate(questions.get());
    }
    let shown = SHOWN.min(held_out.len());
    let prompts: Vec<_> = held_out.iter().map(|row| row.prompt.clone()).collect();
    let before = ask(&base, None, &prompts, args)?;
    show("The new task, before:", &prompts[..shown], &before[..shown]);
    let score_before = Score::of(&held_out, &before);
    line!("exact match before: {score_before}\n");

    line!(
        "Fine-tuning on {} rows that share no question with those, not even turned round:",
        rows.len()
    );
    let run = out.join("run");
    let settings = model.settings(&base, &data, &run, args.steps, &args.device);
    train(
        &settings.validate()?,
        Host::new(&mut Quiet(terminal::console())),
    )?;

    let after = ask(&base, Some(&run), &prompts, args)?;
    show(
        "\nThe same questions, after:",
        &prompts[..shown],
        &after[..shown],
    );
    let score_after = Score::of(&held_out, &after);
    line!("exact match before: {score_before}");
    line!("exact match after : {score_after}\n");

    let merged = out.join("merged");
    let asked = MergeArgs::new(base.clone(), run.clone(), merged.clone(), &args.device);
    let agreement = merge(&asked)?.agreement;
    line!("Merged into a model of its own; merged against adapted: {agreement}");
    let alone = ask(&merged, None, &prompts, args)?;
    let same = alone.iter().zip(&after).filter(|(a, b)| a == b).count();
    line!(
        "The merged model gives the same answer to {same} of {} questions.\n",
        prompts.len()
    );
    whats_where(model, out);
    Ok(Outcome {
        before: score_before,
        after: score_after,
    })
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
    let session = SessionArgs {
        adapter: adapter.map(Path::to_path_buf),
        device: args.device.clone(),
        ..SessionArgs::of(model)
    };
    let answers = answer(
        &Request {
            session,
            template: None,
            prompts,
            sampling: SamplingConfig::default(),
            max_new_tokens: 32,
        },
        |_| {},
    )?;
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

fn show(title: &str, prompts: &[String], answers: &[String]) {
    line!("{title}");
    for (prompt, answer) in prompts.iter().zip(answers) {
        line!("  {prompt}{}", report::printable(answer));
    }
}

fn whats_where(model: &Bundled, out: &Path) {
    line!("Everything lies in {}:", out.display());
    for (path, what) in [
        ("base/", "the model before"),
        ("sums-in-words.jsonl", "the rows it was fine-tuned on"),
        ("held-out.jsonl", "the questions it was asked"),
        ("run/adapter/", model.adapter),
        ("run/config.toml", "every setting of the run"),
        ("run/metrics.jsonl", "its curves"),
        ("merged/", model.merged),
    ] {
        line!("  {path:<22} {what}");
    }
    line!("");
}
