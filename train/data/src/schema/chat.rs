//! Lists of chat turns.

use serde_json::{Map, Value};

use super::wrong;
use crate::conversation::{Content, Message, Role};
use crate::formats::RowProblem;

/// Field names for a turn's speaker and text; the second is ShareGPT's. Turns of either kind may appear in
/// either list.
const ROLE: [&str; 2] = ["role", "from"];
const CONTENT: [&str; 2] = ["content", "value"];

/// Fields with a turn's tool calls, in the current and the old format.
const CALLS: [&str; 2] = ["tool_calls", "function_call"];

/// Messages, and which of the assistant's are context only.
#[derive(Default)]
pub(super) struct Chat {
    pub(super) messages: Vec<Message>,
    pub(super) only_read: Vec<usize>,
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
    /// Adds the turns in a row's field `list`.
    pub(super) fn read(
        &mut self,
        row: &Map<String, Value>,
        list: &str,
        problems: &mut Vec<RowProblem>,
    ) {
        let likelier = usize::from(list == "conversations");
        match row.get(list) {
            Some(Value::Array(turns)) if turns.is_empty() => {
                problems.push(said_of(list, "is an empty list"));
            }
            Some(Value::Array(turns)) => {
                for (index, turn) in turns.iter().enumerate() {
                    self.take(&format!("{list}[{index}]"), turn, likelier, problems);
                }
            }
            found => problems.push(absent_or_wrong(list, found, "a list")),
        }
    }

    fn take(&mut self, place: &str, turn: &Value, likelier: usize, problems: &mut Vec<RowProblem>) {
        let Value::Object(turn) = turn else {
            problems.push(wrong(place, turn, "an object"));
            return;
        };
        let before = problems.len();
        let at = |name: &str| format!("{place}.{name}");
        let name = own(turn, ROLE, likelier);
        let role = match turn.get(name) {
            Some(Value::String(word)) => word.parse::<Role>().map_err(|error| {
                problems.push(RowProblem::Other(format!("field '{}': {error}", at(name))));
            }),
            found => {
                problems.push(absent_or_wrong(&at(name), found, "a string"));
                Err(())
            }
        };
        let calls = |name: &&&str| turn.get(**name).is_some_and(|calls| !is_nothing(calls));
        let name = own(turn, CONTENT, likelier);
        let content = match (CALLS.iter().find(calls), turn.get(name)) {
            // No template here writes tool calls, with or without a text.
            (Some(calls), _) => {
                let what = "has tool calls, which are not supported: write them into the text of the turn, \
                            or remove the row";
                problems.push(said_of(&at(calls), what));
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
                let what = "must be 1 (trained) or 0 (context only)";
                problems.push(said_of(&at("weight"), what));
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

/// Returns the one of two names that `turn` has, or else the likelier one.
fn own(turn: &Map<String, Value>, names: [&'static str; 2], likelier: usize) -> &'static str {
    let [own, other] = [names[likelier], names[1 - likelier]];
    if turn.contains_key(other) && !turn.contains_key(own) {
        other
    } else {
        own
    }
}

/// Returns whether a value is empty. Tables fill fields that only other turns have with empty values.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns the text of a turn: a string, or a list of `{"type": "text", "text"}` as in multi-modal data.
/// `None` for anything else.
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

fn absent_or_wrong(field: &str, found: Option<&Value>, wanted: &str) -> RowProblem {
    match found {
        // A field map cannot name this field.
        None => said_of(field, "is missing"),
        Some(found) => wrong(field, found, wanted),
    }
}

fn said_of(field: &str, what: &str) -> RowProblem {
    RowProblem::Other(format!("field '{field}' {what}"))
}
