//! Questions with known answers, and worked examples for the prompt.

use crate::error::CommandError;
use bone_data::{FieldMap, Rows, Selection};
use bone_files::wording::{Problems, and_more};
use bone_grade::{Benchmark, gold};
use serde_json::{Map, Value};

/// A question and its answer.
pub(super) struct Question {
    /// The question.
    pub(super) question: String,
    /// The answer, extracted from its solution.
    pub(super) gold: String,
    /// Groups of the question in the file: MATH's level and type.
    pub(super) groups: Vec<String>,
}

/// Reads the questions of a file, with the fields of the benchmark's own files or with `fields`.
///
/// # Errors
///
/// The file has no questions, or rows lack a question or an answer (all are listed).
pub(super) fn read(
    benchmark: Benchmark,
    selection: &Selection,
    fields: Option<&FieldMap>,
) -> Result<Vec<Question>, CommandError> {
    let questions = rows(benchmark, selection, fields, usize::MAX, |row, fields| {
        let (question, solution) = pair(row, fields)?;
        let gold = gold(benchmark, &solution).ok_or_else(|| {
            format!(
                "field '{}' has no final answer; {} writes it as {}",
                fields.response,
                benchmark.name(),
                benchmark.mark()
            )
        })?;
        let group = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Question {
            question,
            gold,
            groups: ["level", "type"].into_iter().filter_map(group).collect(),
        })
    })?;
    if questions.is_empty() {
        let reason = "has no questions";
        return Err(CommandError::path(selection.to_string(), reason));
    }
    Ok(questions)
}

/// Returns the result of `take` for the first `most` rows of a selection. An error names the row.
fn rows<T>(
    benchmark: Benchmark,
    selection: &Selection,
    fields: Option<&FieldMap>,
    most: usize,
    take: impl Fn(&Map<String, Value>, &FieldMap) -> Result<T, String>,
) -> Result<Vec<T>, CommandError> {
    let own = || match benchmark {
        Benchmark::Gsm8k => FieldMap::known("question", None, "answer"),
        Benchmark::Math => FieldMap::known("problem", None, "solution"),
    };
    let fields = fields.cloned().unwrap_or_else(own);
    let (from, to) = (selection.from, selection.to);
    let mut number = 0;
    let mut taken = Vec::new();
    for path in selection.files()? {
        let mut problems = Problems::default();
        for row in Rows::open(&path)? {
            let (place, row) = row?;
            let inside = number >= from && to.is_none_or(|to| number < to);
            number += 1;
            if !inside || taken.len() == most {
                continue;
            }
            let row = row.map_err(|problem| problem.to_string());
            match row.and_then(|row| take(&row, &fields)) {
                Ok(one) => taken.push(one),
                Err(what) => problems.add(format!("{place}: {what}")),
            }
        }
        let Problems { shown, total } = problems;
        if total > 0 {
            let list = and_more(shown, total).join("\n  ");
            let name = benchmark.name();
            let reason = format!("{total} row(s) are not questions of {name}:\n  {list}");
            return Err(CommandError::path(path, reason));
        }
    }
    Ok(taken)
}

/// Returns the question and the solution of a row.
fn pair(row: &Map<String, Value>, fields: &FieldMap) -> Result<(String, String), String> {
    let text = |name: &str| match row.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("field '{name}' is not a string")),
        None => Err(format!(
            "field '{name}' is missing; set the field names with --field-map \
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

/// Returns the first `count` rows of a file as worked examples for every prompt, as for a model without
/// fine-tuning: `Q: … A: …` (Wei et al. 2022, "Chain-of-Thought Prompting", section 3.1). Their solutions
/// stay unchanged.
///
/// # Errors
///
/// Like [`read`], except that an answer needs no mark. Or the file has too few rows.
pub(super) fn examples(
    benchmark: Benchmark,
    selection: &Selection,
    fields: Option<&FieldMap>,
    count: usize,
) -> Result<String, CommandError> {
    let pairs = rows(benchmark, selection, fields, count, pair)?;
    let found = pairs.len();
    if found < count {
        let reason = format!("has {found} row(s), but {count} examples are needed");
        return Err(CommandError::path(selection.to_string(), reason));
    }
    let examples = pairs.iter().map(|(q, a)| format!("Q: {q}\nA: {a}\n\n"));
    Ok(examples.collect())
}
