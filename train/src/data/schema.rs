//! What the fields of a row mean.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

use super::conversation::{Content, Message, Role};
use super::field_map::FieldMap;
use crate::suggest::nearest;

#[cfg(test)]
mod tests;

/// Which fields a row has, and what they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// A question and its answer, in fields of these names.
    Fields(FieldMap),
    /// `messages`: a list of `{"role", "content"}`.
    Messages,
    /// ShareGPT's `conversations`: a list of `{"from", "value"}`, with a `system` beside it or not.
    Conversations,
    /// `text`: all of it is learnt.
    Text,
}

/// Something wrong with a row's fields.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldProblem {
    /// A field that the schema needs.
    #[error("field '{0}' is missing")]
    Missing(String),
    /// A field that holds something else.
    #[error("field '{field}' is {found}, not {wanted}")]
    WrongType {
        /// Its name, with the places of lists: `messages[2].content`.
        field: String,
        /// What it holds.
        found: &'static str,
        /// What it should hold.
        wanted: &'static str,
    },
    /// A speaker of no known name.
    #[error("field '{field}': {reason}")]
    Role {
        /// The field.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// A conversation in which nothing is said.
    #[error("field '{0}' is an empty list")]
    NoTurns(&'static str),
}

/// The schemas that are recognised, under the names they have on the command line.
const KNOWN: [&str; 8] = [
    "query", "alpaca", "prompt", "qa", "math", "messages", "sharegpt", "text",
];

impl Schema {
    /// Every name that [`Schema::named`] knows.
    pub fn names() -> &'static [&'static str] {
        &KNOWN
    }

    /// The schema of a name.
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

    /// The name of a known schema.
    pub fn name(&self) -> Option<&'static str> {
        let is_this = |name: &&&str| Self::named(name).as_ref() == Some(self);
        KNOWN.iter().find(is_this).copied()
    }

    /// The known schemas whose fields `row` has. A lone `text` is one only where nothing else
    /// fits: other schemas carry such a field along.
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

    /// What a row of this schema holds.
    ///
    /// # Errors
    /// Everything that is wrong with its fields.
    pub(super) fn content(&self, row: &Map<String, Value>) -> Result<Content, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        let content = match self {
            Self::Fields(fields) => {
                let instruction = required(row, &fields.instruction, &mut problems);
                let input = match &fields.input {
                    Some(name) => optional(row, name, &mut problems),
                    None => String::new(),
                };
                Content::Single {
                    instruction,
                    input,
                    response: required(row, &fields.response, &mut problems),
                }
            }
            Self::Messages => Content::Chat(turns(row, &MESSAGES, &mut problems)),
            Self::Conversations => {
                let system = optional(row, "system", &mut problems);
                let mut messages = turns(row, &CONVERSATIONS, &mut problems);
                if !system.is_empty() {
                    let role = Role::System;
                    messages.insert(
                        0,
                        Message {
                            role,
                            content: system,
                        },
                    );
                }
                Content::Chat(messages)
            }
            Self::Text => Content::Text(required(row, "text", &mut problems)),
        };
        match problems.is_empty() {
            true => Ok(content),
            false => Err(problems),
        }
    }
}

impl FromStr for Schema {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::named(name).ok_or_else(|| {
            let near = nearest(name, KNOWN.iter().copied())
                .map(|near| format!("; did you mean '{near}'?"))
                .unwrap_or_default();
            format!("'{name}' is none of {}{near}", KNOWN.join(", "))
        })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(fields) => fields.fmt(f),
            Self::Messages => f.write_str("messages (role, content)"),
            Self::Conversations => f.write_str("conversations (from, value)"),
            Self::Text => f.write_str("text"),
        }
    }
}

/// The names that a list of turns has.
struct Turns {
    list: &'static str,
    role: &'static str,
    content: &'static str,
}

const MESSAGES: Turns = Turns {
    list: "messages",
    role: "role",
    content: "content",
};

const CONVERSATIONS: Turns = Turns {
    list: "conversations",
    role: "from",
    content: "value",
};

fn turns(
    row: &Map<String, Value>,
    names: &Turns,
    problems: &mut Vec<FieldProblem>,
) -> Vec<Message> {
    let list = match row.get(names.list) {
        Some(Value::Array(list)) if list.is_empty() => {
            problems.push(FieldProblem::NoTurns(names.list));
            return Vec::new();
        }
        Some(Value::Array(list)) => list,
        Some(other) => {
            problems.push(wrong(names.list, other, "a list"));
            return Vec::new();
        }
        None => {
            problems.push(FieldProblem::Missing(names.list.to_owned()));
            return Vec::new();
        }
    };
    let turn = |(index, turn): (usize, &Value)| {
        let place = format!("{}[{index}]", names.list);
        let Value::Object(turn) = turn else {
            problems.push(wrong(&place, turn, "an object"));
            return None;
        };
        let at = |name: &str| format!("{place}.{name}");
        let role = match turn.get(names.role) {
            Some(Value::String(word)) => word.parse::<Role>().map_err(|error| {
                problems.push(FieldProblem::Role {
                    field: at(names.role),
                    reason: error.to_string(),
                });
            }),
            other => {
                problems.push(absent_or_wrong(&at(names.role), other, "a string"));
                Err(())
            }
        };
        let content = match turn.get(names.content).map(said) {
            Some(Some(text)) => Ok(text),
            _ => {
                let found = turn.get(names.content);
                problems.push(absent_or_wrong(&at(names.content), found, "text"));
                Err(())
            }
        };
        Some(Message {
            role: role.ok()?,
            content: content.ok()?,
        })
    };
    list.iter().enumerate().filter_map(turn).collect()
}

/// The text of a turn: a string, or a list of `{"type": "text", "text"}` as multi-modal data has
/// it. `None` for anything else.
fn said(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts
            .iter()
            .map(|part| match part.get("type").and_then(Value::as_str) {
                Some("text") => part.get("text").and_then(Value::as_str),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn required(row: &Map<String, Value>, name: &str, problems: &mut Vec<FieldProblem>) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        other => {
            problems.push(absent_or_wrong(name, other, "a string"));
            String::new()
        }
    }
}

fn optional(row: &Map<String, Value>, name: &str, problems: &mut Vec<FieldProblem>) -> String {
    match row.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => {
            problems.push(wrong(name, other, "a string"));
            String::new()
        }
    }
}

fn absent_or_wrong(field: &str, found: Option<&Value>, wanted: &'static str) -> FieldProblem {
    match found {
        None => FieldProblem::Missing(field.to_owned()),
        Some(found) => wrong(field, found, wanted),
    }
}

fn wrong(field: &str, found: &Value, wanted: &'static str) -> FieldProblem {
    FieldProblem::WrongType {
        field: field.to_owned(),
        found: kind(found),
        wanted,
    }
}

/// What a JSON value is, with its article.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
