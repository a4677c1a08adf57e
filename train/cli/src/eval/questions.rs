//! Questions with known answers, and worked examples to put before them.

use bone_data::{DataError, FieldMap, Message, Place, Role, Rows, Selection};
use bone_grade::{Benchmark, gold};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Rows with problems that are shown; the rest is counted.
const SHOWN: usize = 10;

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Place in its file or slice, from 0.
    pub index: usize,
    /// What is asked.
    pub question: String,
    /// The answer, out of its solution.
    pub gold: String,
    /// The solution as the file has it.
    pub solution: String,
    /// What the file groups it under: MATH's level and type.
    pub groups: Vec<String>,
}

/// Questions of one benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Questions(pub Vec<Question>);

/// Why there are no questions.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The file cannot be read.
    #[error(transparent)]
    Source(#[from] DataError),
    /// The file, or the slice of it, has no rows.
    #[error("{0}: there are no questions in it")]
    Empty(Selection),
    /// Fewer examples than were asked for.
    #[error("{selection}: has {found} row(s), and {count} examples were asked for")]
    FewExamples {
        /// The file.
        selection: Selection,
        /// How many there are.
        found: usize,
        /// How many were asked for.
        count: usize,
    },
    /// Rows that are no questions; all counted, the first shown.
    #[error("{}: {total} row(s) are no questions of {benchmark}:{}", .path.display(), list(.shown, *.total))]
    Rows {
        /// The file.
        path: PathBuf,
        /// The benchmark's name.
        benchmark: &'static str,
        /// Place, and what is wrong there.
        shown: Vec<(Place, String)>,
        /// How many there are.
        total: usize,
    },
}

fn list(shown: &[(Place, String)], total: usize) -> String {
    let mut text: String = shown
        .iter()
        .map(|(place, what)| format!("\n  {place}: {what}"))
        .collect();
    if total > shown.len() {
        text.push_str(&format!("\n  and {} more", total - shown.len()));
    }
    text
}

/// The fields of a benchmark's own files.
fn own_fields(benchmark: Benchmark) -> FieldMap {
    match benchmark {
        Benchmark::Gsm8k => FieldMap::known("question", None, "answer"),
        Benchmark::Math => FieldMap::known("problem", None, "solution"),
    }
}

impl Questions {
    /// Reads the questions of a file, by the fields of the benchmark's own files or by `fields`.
    ///
    /// # Errors
    /// [`QuestionError`]; every row without a question or an answer.
    pub fn read(
        benchmark: Benchmark,
        selection: &Selection,
        fields: Option<&FieldMap>,
    ) -> Result<Self, QuestionError> {
        let fields = fields.cloned().unwrap_or_else(|| own_fields(benchmark));
        let mut questions = Vec::new();
        rows(benchmark, selection, |row| {
            let (question, solution) = pair(row, &fields)?;
            let gold = gold(benchmark, &solution).ok_or_else(|| {
                format!(
                    "field '{}' gives no answer: {} marks it as {}",
                    fields.response,
                    benchmark.name(),
                    benchmark.mark()
                )
            })?;
            let group = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
            questions.push(Question {
                index: questions.len(),
                question,
                gold,
                solution,
                groups: ["level", "type"].into_iter().filter_map(group).collect(),
            });
            Ok(())
        })?;
        match questions.is_empty() {
            true => Err(QuestionError::Empty(selection.clone())),
            false => Ok(Self(questions)),
        }
    }
}

/// Gives every row of a selection to `take`, which says what is wrong with it.
fn rows(
    benchmark: Benchmark,
    selection: &Selection,
    mut take: impl FnMut(&Map<String, Value>) -> Result<(), String>,
) -> Result<(), QuestionError> {
    let (from, to) = (selection.from, selection.to);
    let mut number = 0;
    for path in selection.files()? {
        let (mut shown, mut total) = (Vec::new(), 0);
        for row in Rows::open(&path)? {
            let (place, row) = row?;
            let inside = number >= from && to.is_none_or(|to| number < to);
            number += 1;
            if !inside {
                continue;
            }
            let taken = row
                .map_err(|problem| problem.to_string())
                .and_then(|row| take(&row));
            if let Err(what) = taken {
                total += 1;
                if shown.len() < SHOWN {
                    shown.push((place, what));
                }
            }
        }
        if total > 0 {
            return Err(QuestionError::Rows {
                path,
                benchmark: benchmark.name(),
                shown,
                total,
            });
        }
    }
    Ok(())
}

/// The question and the solution of a row.
fn pair(row: &Map<String, Value>, fields: &FieldMap) -> Result<(String, String), String> {
    let text = |name: &str| match row.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("field '{name}' is not a string")),
        None => Err(format!(
            "field '{name}' is missing; name the fields with --field-map \
             instruction=FIELD,response=FIELD"
        )),
    };
    let mut question = text(&fields.instruction)?;
    if let Some(input) = &fields.input
        && let Some(Value::String(input)) = row.get(input)
        && !input.is_empty()
    {
        question = format!("{question}\n{input}");
    }
    Ok((question, text(&fields.response)?))
}

/// Worked examples, put before every question as a model without fine-tuning is asked: `Q: … A: …`
/// (Wei et al. 2022, "Chain-of-Thought Prompting", section 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shots(Vec<(String, String)>);

impl Shots {
    /// The first `count` rows of a file as examples; their solutions are given as they are.
    ///
    /// # Errors
    /// As [`Questions::read`], but for answers without a mark; fewer rows than asked for.
    pub fn read(
        benchmark: Benchmark,
        selection: &Selection,
        fields: Option<&FieldMap>,
        count: usize,
    ) -> Result<Self, QuestionError> {
        let fields = fields.cloned().unwrap_or_else(|| own_fields(benchmark));
        let mut pairs = Vec::new();
        rows(benchmark, selection, |row| {
            if pairs.len() < count {
                pairs.push(pair(row, &fields)?);
            }
            Ok(())
        })?;
        match pairs.len() < count {
            true => Err(QuestionError::FewExamples {
                selection: selection.clone(),
                found: pairs.len(),
                count,
            }),
            false => Ok(Self(pairs)),
        }
    }

    /// The text to continue.
    pub fn prompt(&self, question: &str) -> String {
        let examples = self.0.iter().map(|(q, a)| format!("Q: {q}\nA: {a}\n\n"));
        examples.collect::<String>() + &format!("Q: {question}\nA:")
    }
}

/// A question as the one message of a conversation.
impl Question {
    /// The conversation.
    pub fn messages(&self) -> [Message; 1] {
        [Message {
            role: Role::User,
            content: self.question.clone(),
        }]
    }
}
