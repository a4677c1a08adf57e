//! The demo of one model: its steps and its text.

use super::models::Bundled;
use super::task::{self, Row};
use super::{DemoArgs, HELD_OUT_ROWS, write};
use crate::commands::generate::answer;
use crate::commands::merge::{MergeArgs, merge};
use crate::error::CommandError;
use crate::output::line;
use crate::session::SessionArgs;
use crate::terminal;
use bone_data::grouped;
use bone_lm::sampling::SamplingConfig;
use bone_train::models::read_config;
use bone_train::report::{Event, ReportError, Reporter, StartReport};
use bone_train::run::{Host, train};
use std::path::Path;

/// Number of prompts to show with their answers.
const SHOWN: usize = 5;

/// Number of held-out questions with exactly right answers.
pub(super) struct Outcome {
    pub(super) before: String,
    pub(super) after: String,
}

fn score(rows: &[Row], texts: &[String]) -> String {
    let exact = |(row, text): &(&Row, &String)| {
        let answer = text.strip_prefix(&row.prompt);
        answer.is_some_and(|answer| answer.trim() == row.response)
    };
    let (right, of) = (rows.iter().zip(texts).filter(exact).count(), rows.len());
    let share = 100.0 * right as f64 / of.max(1) as f64;
    format!("{right} of {of} held-out questions ({share:.1} %)")
}

/// Shows the model's abilities, fine-tunes it, and shows what changed. Writes everything to `out`.
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
    write(&data, task::to_jsonl(&rows))?;
    write(&out.join("held-out.jsonl"), task::to_jsonl(&held_out))?;

    line!(
        "A tiny {} model ({} parameters) already knows sums in digits and numbers\nin words. It has never \
         seen a sum in words. Bone teaches it that now.\n",
        model.architecture.name(),
        grouped(read_config(&base)?.shape.parameters)
    );
    let known = ["17+25=".to_string(), "42 in words: ".to_string()];
    show("What it knows:", &ask(&base, None, &known, args)?);

    if let Some(questions) = args.questions {
        held_out.truncate(questions.get());
    }
    let shown = SHOWN.min(held_out.len());
    let prompts: Vec<_> = held_out.iter().map(|row| row.prompt.clone()).collect();
    let before = ask(&base, None, &prompts, args)?;
    show("The new task, before:", &before[..shown]);
    let scored_before = score(&held_out, &before);
    line!("exact match before: {scored_before}\n");

    line!(
        "Fine-tuning on {} rows. None contains these questions, not even with the two numbers swapped:",
        rows.len()
    );
    let run = out.join("run");
    let settings = model.settings(&base, &data, &run, args.steps, &args.device);
    let mut console = Quiet(terminal::console());
    train(&settings.validate()?, Host::new(&mut console))?;

    let after = ask(&base, Some(&run), &prompts, args)?;
    show("\nThe same questions, after:", &after[..shown]);
    let scored_after = score(&held_out, &after);
    line!("exact match before: {scored_before}");
    line!("exact match after : {scored_after}\n");

    let merged = out.join("merged");
    let agreement = merge(&MergeArgs {
        model: base.clone(),
        adapter: vec![run.clone()],
        out: merged.clone(),
        device: args.device.clone(),
        ..MergeArgs::default()
    })?
    .agreement;
    line!("Merged into one model; merged vs. adapted: {agreement}");
    let alone = ask(&merged, None, &prompts, args)?;
    let same = alone.iter().zip(&after).filter(|(a, b)| a == b).count();
    line!(
        "The merged model gives the same answer to {same} of {} questions.\n",
        prompts.len()
    );
    whats_where(out);
    Ok(Outcome {
        before: scored_before,
        after: scored_after,
    })
}

/// Hides the settings, which an ordinary run prints.
struct Quiet(Box<dyn Reporter>);

impl Reporter for Quiet {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Start(start) => self.0.report(Event::Start(&StartReport {
                settings: Vec::new(),
                ..start.clone()
            })),
            Event::Finish(_) | Event::Phase(_) => Ok(()),
            other => self.0.report(other),
        }
    }
}

/// Returns prompts followed by the model's answers.
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
    let greedy = SamplingConfig::default();
    answer(&session, None, prompts, 32, greedy, |_| {})
}

fn show(title: &str, texts: &[String]) {
    line!("{title}");
    for text in texts {
        line!("  {text}");
    }
}

fn whats_where(out: &Path) {
    line!("All files are in {}:", out.display());
    for (path, what) in [
        ("base/", "the model before"),
        ("sums-in-words.jsonl", "the training rows"),
        ("held-out.jsonl", "the test questions"),
        ("run/adapter/", "the adapter"),
        ("run/config.toml", "all settings of the run"),
        ("run/metrics.jsonl", "its metrics"),
        (
            "merged/",
            "the merged model, in the format of the base model",
        ),
    ] {
        line!("  {path:<22} {what}");
    }
    line!("");
}
