//! What a row holds: a question and its answer, a conversation, or a text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Role {
    /// What holds for the whole conversation: `system`, and `developer` as OpenAI has it.
    System,
    /// Who asks: `user`, and `human` as ShareGPT has it.
    User,
    /// Who answers, and what is learnt: `assistant`, and `gpt`, `bot`, `model` or `chatgpt`.
    Assistant,
    /// What a tool gave: `tool`.
    Tool,
}

/// A name of no role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "unknown role '{0}': there are system (or developer), user (or human), assistant (or gpt, bot, model, \
     chatgpt) and tool"
)]
pub struct UnknownRole(pub String);

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Which of the assistant's messages are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learnt<'a> {
    /// None: they are a prompt's.
    None,
    /// All but those in these places.
    AllBut(&'a [usize]),
}

impl Learnt<'_> {
    /// Whether the message in this place is.
    pub(super) fn has(self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::AllBut(places) => !places.contains(&index),
        }
    }
}

/// What a row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One question and its answer.
    Single {
        /// What is asked.
        instruction: String,
        /// Further context, empty where there is none.
        input: String,
        /// What the model should answer.
        response: String,
    },
    /// Turns of a conversation.
    Chat {
        /// What is said.
        messages: Vec<Message>,
        /// Places of messages of the assistant that are only read, not learnt; those of others
        /// never are.
        only_read: Vec<usize>,
    },
    /// A text, all of it to learn.
    Text(String),
}

impl Content {
    /// A conversation of which all that the assistant says is learnt.
    pub fn chat(messages: Vec<Message>) -> Self {
        Self::Chat {
            messages,
            only_read: Vec::new(),
        }
    }

    /// Bytes of its texts.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Single {
                instruction,
                input,
                response,
            } => instruction.len() + input.len() + response.len(),
            Self::Chat { messages, .. } => messages.iter().map(|said| said.content.len()).sum(),
            Self::Text(text) => text.len(),
        }
    }
}

impl Role {
    /// The role's name, as in `messages` of chat data.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        match name {
            "system" | "developer" => Ok(Self::System),
            "user" | "human" => Ok(Self::User),
            "assistant" | "gpt" | "bot" | "model" | "chatgpt" => Ok(Self::Assistant),
            "tool" => Ok(Self::Tool),
            other => Err(UnknownRole(other.to_owned())),
        }
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.name().to_owned()
    }
}

impl TryFrom<String> for Role {
    type Error = UnknownRole;

    fn try_from(name: String) -> Result<Self, UnknownRole> {
        name.parse()
    }
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let content = content.into();
        Self { role, content }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn roles_have_one_name_and_are_read_by_several() {
        let names = [
            ("system", Role::System),
            ("developer", Role::System),
            ("user", Role::User),
            ("human", Role::User),
            ("assistant", Role::Assistant),
            ("gpt", Role::Assistant),
            ("bot", Role::Assistant),
            ("model", Role::Assistant),
            ("chatgpt", Role::Assistant),
            ("tool", Role::Tool),
        ];
        for (name, role) in names {
            assert_eq!(name.parse(), Ok(role));
            assert_eq!(role.to_string().parse(), Ok(role));
        }
    }

    #[test]
    fn an_unknown_role_is_named_with_those_there_are() {
        let message = "narrator".parse::<Role>().unwrap_err().to_string();
        for part in ["'narrator'", "system", "human", "gpt", "tool"] {
            assert!(message.contains(part), "{message}");
        }
        // Names are exact: another spelling may be another thing.
        assert!("User".parse::<Role>().is_err());
    }

    #[test]
    fn messages_are_read_from_json_and_written_to_it() {
        let message: Message =
            serde_json::from_str(r#"{"role": "human", "content": "hi\n"}"#).unwrap();
        assert_eq!(message, Message::new(Role::User, "hi\n"));
        assert_eq!(
            serde_json::to_string(&message).unwrap(),
            r#"{"role":"user","content":"hi\n"}"#
        );
        let unknown = serde_json::from_str::<Message>(r#"{"role": "x", "content": ""}"#);
        assert!(unknown.unwrap_err().to_string().contains("'x'"));
    }
}
