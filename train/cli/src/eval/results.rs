//! Answers and their score, written as they come.

use super::partial::{beside, write_json};
use bone_grade::{Benchmark, Rule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

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
    /// Of the model's and the adapter's files: [`of_files`](super::fingerprint::of_files).
    pub weights: String,
    /// The questions' file.
    pub data: String,
    /// How many questions there are.
    pub questions: usize,
    /// Of what is asked: [`of_prompts`](super::fingerprint::of_prompts).
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

/// Why results could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is there comes from other settings.
    #[error(
        "{}: holds answers of an evaluation that was stopped, with other settings ({}); set them \
         back to go on with it, else remove the file or name another --out",
        .path.display(), .differ.join(", ")
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// Names of the settings that differ.
        differ: Vec<String>,
    },
    /// What is there was not written by an evaluation.
    #[error("{}: is not what an evaluation leaves: {reason}; remove it, or name another --out", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Answers so far, in a file beside the one that will hold the results: a line for the settings and
/// one for every answer.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    file: File,
    settings: Settings,
    answers: Vec<Answer>,
}

impl Unfinished {
    /// Begins, or goes on where an evaluation of the same settings was stopped.
    ///
    /// # Errors
    /// [`ResultsError`].
    pub fn open(out: &Path, settings: Settings) -> Result<Self, ResultsError> {
        let path = beside(out);
        let io = |source| ResultsError::Io {
            path: path.clone(),
            source,
        };
        if let Some(folder) = out.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        let (answers, whole) = read(&path, &file, &settings)?;
        // A line that was cut off goes.
        file.set_len(whole).map_err(io)?;
        file.seek(std::io::SeekFrom::Start(whole)).map_err(io)?;
        let mut unfinished = Self {
            path,
            file,
            settings,
            answers,
        };
        if whole == 0 {
            let settings = unfinished.settings.clone();
            unfinished.line(&settings)?;
        }
        Ok(unfinished)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), ResultsError> {
        let line = serde_json::to_string(value).map(|line| line + "\n");
        line.map_err(std::io::Error::from)
            .and_then(|line| self.file.write_all(line.as_bytes()))
            .map_err(|source| ResultsError::Io {
                path: self.path.clone(),
                source,
            })
    }

    /// Answers that are there already.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Takes one more, which is on the disk on return.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn push(&mut self, answer: Answer) -> Result<(), ResultsError> {
        self.line(&answer)?;
        self.answers.push(answer);
        Ok(())
    }

    /// Writes all results to `out`, and removes what was kept beside it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self, out: &Path, seconds: f64) -> Result<Results, ResultsError> {
        let Self {
            path,
            settings,
            mut answers,
            ..
        } = self;
        answers.sort_by_key(|answer| answer.index);
        let results = Results {
            settings,
            summary: Summary::of(&answers, seconds),
            answers,
        };
        // The answers go last.
        write_json(out, &results)
            .and_then(|()| std::fs::remove_file(&path))
            .map_err(|source| ResultsError::Io {
                path: out.to_owned(),
                source,
            })?;
        Ok(results)
    }
}

/// Answers of the same settings, and where the last whole line ends.
fn read(path: &Path, file: &File, settings: &Settings) -> Result<(Vec<Answer>, u64), ResultsError> {
    let not_ours = |reason: serde_json::Error| ResultsError::NotOurs {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let mut reader = BufReader::new(file);
    let (mut answers, mut whole) = (Vec::new(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|source| ResultsError::Io {
            path: path.to_owned(),
            source,
        })?;
        if !line.ends_with(b"\n") {
            return Ok((answers, whole));
        }
        if whole == 0 {
            let there: Settings = serde_json::from_slice(&line).map_err(not_ours)?;
            let differ = differences(&there, settings);
            if !differ.is_empty() {
                return Err(ResultsError::Other {
                    path: path.to_owned(),
                    differ,
                });
            }
        } else {
            answers.push(serde_json::from_slice(&line).map_err(not_ours)?);
        }
        whole += read as u64;
    }
}

/// Names of the settings that differ.
fn differences(a: &Settings, b: &Settings) -> Vec<String> {
    let fields = |settings: &Settings| serde_json::to_value(settings).unwrap_or_default();
    let (a, b) = (fields(a), fields(b));
    let names = a.as_object().into_iter().flat_map(|fields| fields.keys());
    names.filter(|name| a[*name] != b[*name]).cloned().collect()
}
