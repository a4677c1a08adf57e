//! Which field of a row holds what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The names of the fields that hold the instruction, the input and the response.
///
/// Written as `instruction=FIELD,response=FIELD[,input=FIELD]`, which [`FromStr`] reads and
/// [`Display`](fmt::Display) prints. In a configuration file it is a table with the same keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldMap {
    /// Field with the instruction; every row must have it.
    pub instruction: String,
    /// Field with further context; a row may leave it out, or have it empty or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Field with the response; every row must have it.
    pub response: String,
}

/// A field map that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "field map '{text}': {}; write instruction=FIELD,response=FIELD[,input=FIELD]",
    .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
)]
pub struct FieldMapError {
    /// The field map as it was written.
    pub text: String,
    /// All that is wrong with it.
    pub problems: Vec<FieldMapProblem>,
}

/// One thing wrong with a field map.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldMapProblem {
    /// A part without `=`.
    #[error("'{0}' is not KEY=FIELD")]
    NotAPair(String),
    /// A key other than `instruction`, `input` and `response`.
    #[error("unknown key '{0}' (the keys are instruction, input, response)")]
    UnknownKey(String),
    /// A key that is given twice.
    #[error("key '{0}' is given more than once")]
    Repeated(String),
    /// A key with nothing after its `=`.
    #[error("key '{0}' names no field")]
    EmptyField(String),
    /// `instruction` or `response` is not there.
    #[error("missing key '{0}'")]
    Missing(&'static str),
}

impl FieldMap {
    /// Returns the map of a layout whose fields are known.
    pub fn known(instruction: &str, input: Option<&str>, response: &str) -> Self {
        Self {
            instruction: instruction.to_owned(),
            input: input.map(str::to_owned),
            response: response.to_owned(),
        }
    }
}

impl fmt::Display for FieldMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction={}", self.instruction)?;
        if let Some(input) = &self.input {
            write!(f, ",input={input}")?;
        }
        write!(f, ",response={}", self.response)
    }
}

impl FromStr for FieldMap {
    type Err = FieldMapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut problems = Vec::new();
        let (mut instruction, mut input, mut response) = (None, None, None);
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some((key, field)) = part.split_once('=') else {
                problems.push(FieldMapProblem::NotAPair(part.to_owned()));
                continue;
            };
            let (key, field) = (key.trim(), field.trim());
            let slot = match key {
                "instruction" => &mut instruction,
                "input" => &mut input,
                "response" => &mut response,
                _ => {
                    problems.push(FieldMapProblem::UnknownKey(key.to_owned()));
                    continue;
                }
            };
            if slot.is_some() {
                problems.push(FieldMapProblem::Repeated(key.to_owned()));
            }
            if field.is_empty() {
                problems.push(FieldMapProblem::EmptyField(key.to_owned()));
            }
            *slot = Some(field.to_owned());
        }
        if instruction.is_none() {
            problems.push(FieldMapProblem::Missing("instruction"));
        }
        if response.is_none() {
            problems.push(FieldMapProblem::Missing("response"));
        }
        match (instruction, response) {
            (Some(instruction), Some(response)) if problems.is_empty() => Ok(Self {
                instruction,
                input,
                response,
            }),
            _ => Err(FieldMapError {
                text: text.to_owned(),
                problems,
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in [
            "instruction=question,response=answer",
            "instruction=q,input=context,response=a",
        ] {
            assert_eq!(text.parse::<FieldMap>().unwrap().to_string(), text);
        }
        let spaced: FieldMap = " response = a , instruction = q ,".parse().unwrap();
        assert_eq!(spaced, FieldMap::known("q", None, "a"));
    }

    #[test]
    fn an_error_lists_every_problem() {
        let error = "question=q,input=,input=x,answer"
            .parse::<FieldMap>()
            .unwrap_err();
        assert_eq!(
            error.problems,
            [
                FieldMapProblem::UnknownKey("question".into()),
                FieldMapProblem::EmptyField("input".into()),
                FieldMapProblem::Repeated("input".into()),
                FieldMapProblem::NotAPair("answer".into()),
                FieldMapProblem::Missing("instruction"),
                FieldMapProblem::Missing("response"),
            ]
        );
        let message = error.to_string();
        assert!(message.contains("unknown key 'question'"), "{message}");
        assert!(message.contains("missing key 'response'"), "{message}");
    }

    #[test]
    fn an_empty_map_misses_both_keys() {
        assert_eq!("".parse::<FieldMap>().unwrap_err().problems.len(), 2);
    }
}
