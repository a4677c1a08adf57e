//! Answers and their score.

use bone_grade::{Benchmark, Rule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What made the answers. An evaluation goes on where one of the same settings was stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// This program's version.
    pub bone: String,
    /// `gsm8k` or `math`.
    pub task: Benchmark,
    /// How answers were found and compared.
    pub rule: Rule,
    /// The model's path.
    pub model: PathBuf,
    /// The adapter's path.
    pub adapter: Option<PathBuf>,
    /// Hashes of the model's and the adapter's files.
    pub weights: String,
    /// The questions' file.
    pub data: String,
    /// How many questions there are.
    pub questions: usize,
    /// A hash of what is asked.
    pub prompts: String,
    /// The template's name; `None` with examples instead.
    pub template: Option<String>,
    /// Examples before every question.
    pub shots: usize,
    /// The examples' file.
    pub shots_file: Option<String>,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// What it ran on.
    pub device: String,
    /// The precision the weights were held in.
    pub dtype: String,
    /// Rows at once. Answers may differ with it after near ties.
    pub batch_size: usize,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With the model's end token or a text that ends an answer.
    Stop,
    /// It reached `max_new_tokens`.
    Length,
    /// The model has no more positions.
    Positions,
    /// The prompt alone fills the model's positions: nothing was asked.
    PromptTooLong,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The question's place, from 0.
    pub index: usize,
    /// What was asked.
    pub question: String,
    /// The right answer.
    pub gold: String,
    /// All that the model wrote.
    pub output: String,
    /// The answer in it; `None` if it gives none.
    pub answer: Option<String>,
    /// Whether it is the right one.
    pub correct: bool,
    /// Tokens that were written.
    pub tokens: usize,
    /// Why it ended.
    pub ended: Ended,
    /// The first token, from 0, before which the two best logits lay within 1e-4: from there on
    /// rounding may choose.
    pub near_tie: Option<usize>,
    /// What its question is grouped under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Questions.
    pub questions: usize,
    /// Right answers.
    pub correct: usize,
    /// Share of right answers.
    pub accuracy: f64,
    /// Standard error of that share: `√(p(1 − p)/n)`.
    pub standard_error: f64,
}

impl Part {
    fn of<'a>(answers: impl Iterator<Item = &'a Answer>) -> Self {
        let (questions, correct) = answers.fold((0, 0), |(all, right), answer| {
            (all + 1, right + usize::from(answer.correct))
        });
        let count = questions.max(1) as f64;
        let accuracy = correct as f64 / count;
        Self {
            questions,
            correct,
            accuracy,
            standard_error: (accuracy * (1.0 - accuracy) / count).sqrt(),
        }
    }
}

/// What the answers come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// All questions.
    #[serde(flatten)]
    pub all: Part,
    /// Those of each level and type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Part>,
    /// Answers in which none was found.
    pub without_answer: usize,
    /// Answers that ran into `max_new_tokens` or the model's positions.
    pub cut_off: usize,
    /// Questions that were not asked, because the prompt fills the model's positions.
    pub not_asked: usize,
    /// Answers with a near tie in them.
    pub near_ties: usize,
    /// Tokens that were written.
    pub tokens: usize,
    /// Seconds this took, without what was done before it was stopped and resumed.
    pub seconds: f64,
}

impl Summary {
    /// Counts the answers.
    pub fn of(answers: &[Answer], seconds: f64) -> Self {
        let names = answers.iter().flat_map(|answer| answer.groups.clone());
        let group = |name: String| {
            let members = answers.iter().filter(|a| a.groups.contains(&name));
            let part = Part::of(members);
            (name, part)
        };
        let names: std::collections::BTreeSet<_> = names.collect();
        let count = |holds: fn(&Answer) -> bool| answers.iter().filter(|a| holds(a)).count();
        Self {
            all: Part::of(answers.iter()),
            groups: names.into_iter().map(group).collect(),
            without_answer: count(|answer| answer.answer.is_none()),
            cut_off: count(|a| matches!(a.ended, Ended::Length | Ended::Positions)),
            not_asked: count(|answer| answer.ended == Ended::PromptTooLong),
            near_ties: count(|answer| answer.near_tie.is_some()),
            tokens: answers.iter().map(|answer| answer.tokens).sum(),
            seconds,
        }
    }
}

/// The file of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// What made them.
    pub settings: Settings,
    /// What they come to.
    pub summary: Summary,
    /// The answers, in the questions' order.
    pub answers: Vec<Answer>,
}

impl Results {
    /// Returns the results of answers in any order.
    pub fn of(settings: Settings, mut answers: Vec<Answer>, seconds: f64) -> Self {
        answers.sort_by_key(|answer| answer.index);
        Self {
            settings,
            summary: Summary::of(&answers, seconds),
            answers,
        }
    }
}
