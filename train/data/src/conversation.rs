//! Content of a row: a question with its answer, a conversation, or a text.

use std::fmt;
use std::str::FromStr;

/// Speaker of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions for the whole conversation: `system`, or OpenAI's `developer`.
    System,
    /// The user: `user`, or ShareGPT's `human`.
    User,
    /// The model that answers and is trained: `assistant`, or `gpt`, `bot`, `model`, `chatgpt`.
    Assistant,
    /// The output of a tool: `tool`.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Speaker of the message.
    pub role: Role,
    /// Text of the message.
    pub content: String,
}

/// Which of the assistant's messages are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learnt<'a> {
    /// None: they belong to a prompt.
    None,
    /// All except those at these positions.
    AllBut(&'a [usize]),
}

impl Learnt<'_> {
    /// Returns whether the message at this position is trained.
    pub(super) fn has(self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::AllBut(places) => !places.contains(&index),
        }
    }
}

/// Content of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One question and its answer.
    Single {
        /// The question.
        instruction: String,
        /// Further context; may be empty.
        input: String,
        /// The answer that the model should give.
        response: String,
    },
    /// Turns of a conversation.
    Chat {
        /// The messages.
        messages: Vec<Message>,
        /// Positions of the assistant's messages that are context only, not trained. Other speakers'
        /// messages are never trained.
        only_read: Vec<usize>,
    },
    /// A text, all of which is trained.
    Text(String),
}

impl Content {
    /// Returns a conversation in which all of the assistant's messages are trained.
    pub fn chat(messages: Vec<Message>) -> Self {
        Self::Chat {
            messages,
            only_read: Vec::new(),
        }
    }

    /// Returns the number of bytes of its texts.
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
    /// Returns the role's name, as in `messages` of chat data.
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
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "system" | "developer" => Ok(Self::System),
            "user" | "human" => Ok(Self::User),
            "assistant" | "gpt" | "bot" | "model" | "chatgpt" => Ok(Self::Assistant),
            "tool" => Ok(Self::Tool),
            other => Err(format!(
                "unknown role '{other}'; choose from system (or developer), user (or human), assistant (or \
                 gpt, bot, model, chatgpt) and tool"
            )),
        }
    }
}

impl Message {
    /// Returns a message.
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
    fn role_aliases_parse_to_roles() {
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
    fn unknown_role_error_lists_known_roles() {
        let message = "narrator".parse::<Role>().unwrap_err();
        for part in ["'narrator'", "system", "human", "gpt", "tool"] {
            assert!(message.contains(part), "{message}");
        }
        // Names are case-sensitive: another spelling may mean something else.
        assert!("User".parse::<Role>().is_err());
    }
}
