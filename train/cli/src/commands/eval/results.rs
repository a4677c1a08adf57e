//! Answers and their score.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
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
pub(super) struct Answer {
    /// The question's place, from 0.
    pub(super) index: usize,
    /// What was asked.
    pub(super) question: String,
    /// The right answer.
    pub(super) gold: String,
    /// All that the model wrote.
    pub(super) output: String,
    /// The answer in it; `None` if it gives none.
    pub(super) answer: Option<String>,
    /// Whether it is the right one.
    pub(super) correct: bool,
    /// Tokens that were written.
    pub(super) tokens: usize,
    /// Why it ended.
    pub(super) ended: Ended,
    /// The first token, from 0, before which the two best logits lay within 1e-4: from there on
    /// rounding may choose.
    pub(super) near_tie: Option<usize>,
    /// What its question is grouped under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<String>,
}

/// A score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
    /// Counts the answers.
    pub(super) fn of<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Self {
        let (mut questions, mut correct) = (0, 0);
        for answer in answers {
            questions += 1;
            correct += usize::from(answer.correct);
        }
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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// All questions.
    #[serde(flatten)]
    pub all: Part,
    /// Those of each level and type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
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
    pub(super) fn of(answers: &[Answer], seconds: f64) -> Self {
        let names = answers.iter().flat_map(|answer| answer.groups.clone());
        let group = |name: String| {
            let members = answers.iter().filter(|a| a.groups.contains(&name));
            let part = Part::of(members);
            (name, part)
        };
        let names: std::collections::BTreeSet<_> = names.collect();
        let count = |holds: fn(&Answer) -> bool| answers.iter().filter(|a| holds(a)).count();
        Self {
            all: Part::of(answers),
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
