//! What the fields of a row mean.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

use super::conversation::{Content, Message, Role};
use super::field_map::FieldMap;
use super::formats::{kind, why_unreadable};
use crate::suggest::nearest;
use chat::{CONVERSATIONS, Chat, MESSAGES};

mod chat;
#[cfg(test)]
mod tests;

/// Which fields a row has, and what they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// A question and its answer, in fields of these names.
    Fields(FieldMap),
    /// `messages`: a list of `{"role", "content"}`, or of `{"from", "value"}`.
    Messages,
    /// ShareGPT's `conversations`: a list of either, with a `system` beside it or not.
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
    /// A list of turns, or a field of one: no field map names these.
    #[error("field '{0}' is missing")]
    MissingInChat(String),
    /// A field whose value could not be had from its file.
    #[error("field '{field}' {what}")]
    Unreadable {
        /// Its name, with the places of lists.
        field: String,
        /// What is wrong with it.
        what: String,
    },
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
    NoTurns(String),
    /// A turn that calls tools.
    #[error(
        "field '{0}' has calls of tools, which would be lost: write them into the turn's text as \
         the model should, or leave the row out"
    )]
    Calls(String),
    /// A turn that is to be trained by a share.
    #[error("field '{0}' must be 1, for a turn that is trained, or 0, for one that is only read")]
    Weight(String),
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
                if let Some(chat) = asked_and_answered(row, fields, &mut problems) {
                    return settled(chat.into(), problems);
                }
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
            Self::Messages => Chat::of(row, "messages", &MESSAGES, &mut problems).into(),
            Self::Conversations => {
                let system = optional(row, "system", &mut problems);
                let mut chat = Chat::of(row, "conversations", &CONVERSATIONS, &mut problems);
                if !system.is_empty() {
                    chat = Chat::saying(Message::new(Role::System, system)).with(chat);
                }
                chat.into()
            }
            Self::Text => Content::Text(required(row, "text", &mut problems)),
        };
        settled(content, problems)
    }
}

fn settled(content: Content, problems: Vec<FieldProblem>) -> Result<Content, Vec<FieldProblem>> {
    if problems.is_empty() {
        Ok(content)
    } else {
        Err(problems)
    }
}

/// A question and an answer that are lists of messages, as TRL has them: what is in the question
/// is only read.
fn asked_and_answered(
    row: &Map<String, Value>,
    fields: &FieldMap,
    problems: &mut Vec<FieldProblem>,
) -> Option<Chat> {
    let (asked, answered) = (&fields.instruction, &fields.response);
    let lists = [asked, answered].map(|name| row.get(name).is_some_and(Value::is_array));
    if fields.input.is_some() || lists != [true, true] {
        return None;
    }
    let asked = Chat::of(row, asked, &MESSAGES, problems).only_read();
    Some(asked.with(Chat::of(row, answered, &MESSAGES, problems)))
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
            Self::Messages => f.write_str("messages"),
            Self::Conversations => f.write_str("conversations"),
            Self::Text => f.write_str("text"),
        }
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
    if let Some(what) = why_unreadable(found) {
        return FieldProblem::Unreadable {
            field: field.to_owned(),
            what: what.to_owned(),
        };
    }
    FieldProblem::WrongType {
        field: field.to_owned(),
        found: kind(found),
        wanted,
    }
}
