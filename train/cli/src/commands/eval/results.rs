//! Answers and their scores.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    /// The model wrote its end token or a text that ends an answer.
    Stop,
    /// The answer reached `max_new_tokens`.
    Length,
    /// The model has no more positions.
    Positions,
    /// The prompt alone fills the model's positions, so the question was not asked.
    PromptTooLong,
}

/// An answer of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// Number of the question, from 0.
    pub(super) index: usize,
    /// The question.
    pub(super) question: String,
    /// The right answer.
    pub(super) gold: String,
    /// The whole output of the model.
    pub(super) output: String,
    /// The extracted answer; `None` if the output has none.
    pub(super) answer: Option<String>,
    /// Whether the answer is right.
    pub(super) correct: bool,
    /// Number of tokens written.
    pub(super) tokens: usize,
    /// Why the answer ended.
    pub(super) ended: Ended,
    /// The first token, from 0, at which the two best logits differed by less than 1e-4. From there on
    /// rounding may change the answer.
    pub(super) near_tie: Option<usize>,
    /// Groups of the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<String>,
}

/// A score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Part {
    /// Number of questions.
    pub questions: usize,
    /// Number of right answers.
    pub correct: usize,
    /// Fraction of right answers.
    pub accuracy: f64,
    /// Standard error of the accuracy: `√(p(1 − p)/n)`.
    pub standard_error: f64,
}

impl Part {
    /// Computes the score of the answers.
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

/// Summary of all answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Score over all questions.
    #[serde(flatten)]
    pub all: Part,
    /// Score for each level and type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Part>,
    /// Number of outputs without an answer.
    pub without_answer: usize,
    /// Number of answers cut at `max_new_tokens` or at the model's positions.
    pub cut_off: usize,
    /// Number of questions not asked, because the prompt fills the model's positions.
    pub not_asked: usize,
    /// Number of answers with a near tie.
    pub near_ties: usize,
    /// Number of tokens written.
    pub tokens: usize,
    /// Seconds of the evaluation, without the time before a resume.
    pub seconds: f64,
}

impl Summary {
    /// Summarizes the answers.
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
