//! Mapping from a row's fields to their meaning.

use bone_files::wording::joined;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names of the fields with the instruction, the input and the response.
///
/// Written as `instruction=FIELD,response=FIELD[,input=FIELD]`, which [`FromStr`] reads and
/// [`Display`](fmt::Display) prints. In a configuration file it is a table with the same keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldMap {
    /// Field with the instruction; every row must have it.
    pub instruction: String,
    /// Field with further context. In a row it may be missing, empty or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Field with the response; every row must have it.
    pub response: String,
}

impl FieldMap {
    /// Returns the map of a known layout.
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
    /// A message with every problem.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut problems = Vec::new();
        let (mut instruction, mut input, mut response) = (None, None, None);
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let Some((key, field)) = part.split_once('=') else {
                problems.push(format!("expected KEY=FIELD, found '{part}'"));
                continue;
            };
            let (key, field) = (key.trim(), field.trim());
            let slot = match key {
                "instruction" => &mut instruction,
                "input" => &mut input,
                "response" => &mut response,
                _ => {
                    problems.push(format!(
                        "unknown key '{key}' (choose from instruction, input, response)"
                    ));
                    continue;
                }
            };
            if slot.is_some() {
                problems.push(format!("key '{key}' is given more than once"));
            }
            if field.is_empty() {
                problems.push(format!("key '{key}' has no field name"));
            }
            *slot = Some(field.to_owned());
        }
        for (key, field) in [("instruction", &instruction), ("response", &response)] {
            if field.is_none() {
                problems.push(format!("missing key '{key}'"));
            }
        }
        match (instruction, response) {
            (Some(instruction), Some(response)) if problems.is_empty() => Ok(Self {
                instruction,
                input,
                response,
            }),
            _ => Err(format!(
                "field map '{text}': {}; expected instruction=FIELD,response=FIELD[,input=FIELD]",
                joined(problems, "; ")
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn printed_field_map_parses_back() {
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
    fn field_map_error_lists_every_problem() {
        let error = "question=q,input=,input=x,answer"
            .parse::<FieldMap>()
            .unwrap_err();
        for part in [
            "field map 'question=q,input=,input=x,answer': ",
            "unknown key 'question'",
            "key 'input' has no field name",
            "key 'input' is given more than once",
            "expected KEY=FIELD, found 'answer'",
            "missing key 'instruction'",
            "missing key 'response'",
            "instruction=FIELD,response=FIELD[,input=FIELD]",
        ] {
            assert!(error.contains(part), "no {part} in: {error}");
        }
    }

    #[test]
    fn empty_field_map_lacks_both_keys() {
        let error = "".parse::<FieldMap>().unwrap_err();
        assert!(
            error.contains("'': missing key 'instruction'; missing key 'response'; "),
            "{error}"
        );
    }
}
