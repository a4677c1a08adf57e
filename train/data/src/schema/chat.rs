//! Lists of turns.

use serde_json::{Map, Value};

use super::{FieldProblem, wrong};
use crate::conversation::{Content, Message, Role};

/// What a turn calls its speaker and its text, the likelier name first: a list of either name may
/// have turns of either kind.
pub(super) struct Names {
    role: [&'static str; 2],
    content: [&'static str; 2],
}

pub(super) const MESSAGES: Names = Names {
    role: ["role", "from"],
    content: ["content", "value"],
};

pub(super) const CONVERSATIONS: Names = Names {
    role: ["from", "role"],
    content: ["value", "content"],
};

/// Where turns keep what they call tools with, now and before.
const CALLS: [&str; 2] = ["tool_calls", "function_call"];

/// Messages, and which of the assistant's are only read.
#[derive(Default)]
pub(super) struct Chat {
    messages: Vec<Message>,
    only_read: Vec<usize>,
}

impl From<Chat> for Content {
    fn from(chat: Chat) -> Self {
        Self::Chat {
            messages: chat.messages,
            only_read: chat.only_read,
        }
    }
}

impl Chat {
    pub(super) fn saying(message: Message) -> Self {
        Self {
            messages: vec![message],
            only_read: Vec::new(),
        }
    }

    /// The turns in a row's field `list`.
    pub(super) fn of(
        row: &Map<String, Value>,
        list: &str,
        names: &Names,
        problems: &mut Vec<FieldProblem>,
    ) -> Self {
        let mut chat = Self::default();
        match row.get(list) {
            Some(Value::Array(turns)) if turns.is_empty() => {
                problems.push(FieldProblem::NoTurns(list.to_owned()));
            }
            Some(Value::Array(turns)) => {
                for (index, turn) in turns.iter().enumerate() {
                    chat.take(&format!("{list}[{index}]"), turn, names, problems);
                }
            }
            found => problems.push(absent_or_wrong(list, found, "a list")),
        }
        chat
    }

    /// All of it only read.
    pub(super) fn only_read(mut self) -> Self {
        self.only_read = (0..self.messages.len()).collect();
        self
    }

    /// What follows it.
    pub(super) fn with(mut self, other: Self) -> Self {
        let before = self.messages.len();
        self.messages.extend(other.messages);
        let later = other.only_read.into_iter().map(|index| before + index);
        self.only_read.extend(later);
        self
    }

    fn take(&mut self, place: &str, turn: &Value, names: &Names, problems: &mut Vec<FieldProblem>) {
        let Value::Object(turn) = turn else {
            problems.push(wrong(place, turn, "an object"));
            return;
        };
        let before = problems.len();
        let at = |name: &str| format!("{place}.{name}");
        let name = own(turn, names.role);
        let role = match turn.get(name) {
            Some(Value::String(word)) => word.parse::<Role>().map_err(|error| {
                problems.push(FieldProblem::Role {
                    field: at(name),
                    reason: error.to_string(),
                });
            }),
            found => {
                problems.push(absent_or_wrong(&at(name), found, "a string"));
                Err(())
            }
        };
        let calls = |name: &&&str| turn.get(**name).is_some_and(|calls| !is_nothing(calls));
        let name = own(turn, names.content);
        let content = match (CALLS.iter().find(calls), turn.get(name)) {
            // Without a text or beside one, no template here writes them.
            (Some(calls), _) => {
                problems.push(FieldProblem::Calls(at(calls)));
                None
            }
            (None, found) => found.and_then(said).or_else(|| {
                problems.push(absent_or_wrong(&at(name), found, "text"));
                None
            }),
        };
        let learnt = match turn.get("weight") {
            _ if role != Ok(Role::Assistant) => true,
            None | Some(Value::Null) => true,
            Some(weight) if weight.as_f64() == Some(1.0) => true,
            Some(weight) if weight.as_f64() == Some(0.0) => false,
            Some(_) => {
                problems.push(FieldProblem::Weight(at("weight")));
                true
            }
        };
        if let (Ok(role), Some(content)) = (role, content)
            && problems.len() == before
        {
            if !learnt {
                self.only_read.push(self.messages.len());
            }
            self.messages.push(Message { role, content });
        }
    }
}

/// The first of `names` that `turn` has, or the likelier one.
fn own(turn: &Map<String, Value>, names: [&'static str; 2]) -> &'static str {
    let has = |name: &&str| turn.contains_key(*name);
    names.into_iter().find(has).unwrap_or(names[0])
}

/// Whether nothing is in a value, as tables have it in turns without what others have.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
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

fn absent_or_wrong(field: &str, found: Option<&Value>, wanted: &'static str) -> FieldProblem {
    match found {
        None => FieldProblem::MissingInChat(field.to_owned()),
        Some(found) => wrong(field, found, wanted),
    }
}
