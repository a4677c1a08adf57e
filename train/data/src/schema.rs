//! The meaning of a row's fields.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::conversation::{Content, Message, Role};
use super::field_map::FieldMap;
use super::formats::{RowProblem, kind, why_unreadable};
use crate::suggest::unknown;
use chat::Chat;

mod chat;
#[cfg(test)]
mod tests;

/// The fields of a row and their meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// A question and its answer, in fields with these names.
    Fields(FieldMap),
    /// `messages`: a list of `{"role", "content"}` or of `{"from", "value"}`.
    Messages,
    /// ShareGPT's `conversations`: a list of either kind, optionally with a `system` field.
    Conversations,
    /// `text`: all of it is trained.
    Text,
}

/// The schemas that are detected, by their command line names.
const KNOWN: [&str; 8] = [
    "query", "alpaca", "prompt", "qa", "math", "messages", "sharegpt", "text",
];

impl Schema {
    /// Returns every name that [`Schema::named`] accepts.
    pub fn names() -> &'static [&'static str] {
        &KNOWN
    }

    /// Returns the schema with this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "query" => Self::Fields(FieldMap::known("query", None, "response")),
            "alpaca" => Self::Fields(FieldMap::known("instruction", Some("input"), "output")),
            "prompt" => Self::Fields(FieldMap::known("prompt", None, "completion")),
            "qa" => Self::Fields(FieldMap::known("question", None, "answer")),
            "math" => Self::Fields(FieldMap::known("problem", None, "solution")),
            "messages" => Self::Messages,
            "sharegpt" => Self::Conversations,
            "text" => Self::Text,
            _ => return None,
        })
    }

    /// Returns the name of a known schema.
    pub fn name(&self) -> Option<&'static str> {
        let is_this = |name: &&&str| Self::named(name).as_ref() == Some(self);
        KNOWN.iter().find(is_this).copied()
    }

    /// Returns the fields of the schema: `instruction/input/output`.
    pub(super) fn fields(&self) -> String {
        match self {
            Self::Fields(fields) => {
                let input = fields.input.as_deref();
                let all = [Some(&*fields.instruction), input, Some(&*fields.response)];
                all.into_iter().flatten().collect::<Vec<_>>().join("/")
            }
            other => other.to_string(),
        }
    }

    /// Returns the known schemas that fit `row`. A `text` field counts only if nothing else fits: other
    /// schemas may also have such a field.
    pub(super) fn fitting(row: &Map<String, Value>) -> Vec<Self> {
        let fits = |schema: &Self| schema.needed().iter().all(|field| row.contains_key(*field));
        let mut fitting: Vec<_> = KNOWN.iter().filter_map(|name| Self::named(name)).collect();
        fitting.retain(fits);
        if fitting.len() > 1 {
            fitting.retain(|schema| *schema != Self::Text);
        }
        fitting
    }

    fn needed(&self) -> Vec<&str> {
        match self {
            Self::Fields(fields) => vec![&fields.instruction, &fields.response],
            Self::Messages => vec!["messages"],
            Self::Conversations => vec!["conversations"],
            Self::Text => vec!["text"],
        }
    }

    /// Returns the content of a row with this schema.
    ///
    /// # Errors
    /// A list of everything that is wrong with its fields.
    pub(super) fn content(&self, row: &Map<String, Value>) -> Result<Content, Vec<RowProblem>> {
        let mut problems = Vec::new();
        let mut chat = Chat::default();
        let content = match self {
            Self::Fields(fields) if asked_and_answered(row, fields) => {
                chat.read(row, &fields.instruction, &mut problems);
                // The question is context only.
                chat.only_read = (0..chat.messages.len()).collect();
                chat.read(row, &fields.response, &mut problems);
                chat.into()
            }
            Self::Fields(fields) => Content::Single {
                instruction: required(row, &fields.instruction, &mut problems),
                input: match &fields.input {
                    Some(name) => optional(row, name, &mut problems),
                    None => String::new(),
                },
                response: required(row, &fields.response, &mut problems),
            },
            Self::Messages => {
                chat.read(row, "messages", &mut problems);
                chat.into()
            }
            Self::Conversations => {
                let system = optional(row, "system", &mut problems);
                if !system.is_empty() {
                    chat.messages.push(Message::new(Role::System, system));
                }
                chat.read(row, "conversations", &mut problems);
                chat.into()
            }
            Self::Text => Content::Text(required(row, "text", &mut problems)),
        };
        if problems.is_empty() {
            Ok(content)
        } else {
            Err(problems)
        }
    }
}

/// Returns whether the question and the answer are lists of messages, as in TRL.
fn asked_and_answered(row: &Map<String, Value>, fields: &FieldMap) -> bool {
    let is_list = |name: &String| row.get(name).is_some_and(Value::is_array);
    fields.input.is_none() && is_list(&fields.instruction) && is_list(&fields.response)
}

impl FromStr for Schema {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::named(name).ok_or_else(|| unknown(name, &KNOWN))
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(fields) => fields.fmt(f),
            Self::Messages => f.write_str("messages"),
            Self::Conversations => f.write_str("conversations"),
            Self::Text => f.write_str("text"),
        }
    }
}

fn required(row: &Map<String, Value>, name: &str, problems: &mut Vec<RowProblem>) -> String {
    if !row.contains_key(name) {
        problems.push(RowProblem::Missing(name.to_owned()));
    } else if row[name].is_null() {
        problems.push(wrong(name, &Value::Null, "a string"));
    }
    optional(row, name, problems)
}

fn optional(row: &Map<String, Value>, name: &str, problems: &mut Vec<RowProblem>) -> String {
    match row.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => {
            problems.push(wrong(name, other, "a string"));
            String::new()
        }
    }
}

fn wrong(field: &str, found: &Value, wanted: &str) -> RowProblem {
    RowProblem::Other(match why_unreadable(found) {
        Some(what) => format!("field '{field}' {what}"),
        None => format!("field '{field}' is {}, expected {wanted}", kind(found)),
    })
}
