//! What a row holds: a question and its answer, a conversation, or a text.

use std::fmt;
use std::str::FromStr;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "system" | "developer" => Ok(Self::System),
            "user" | "human" => Ok(Self::User),
            "assistant" | "gpt" | "bot" | "model" | "chatgpt" => Ok(Self::Assistant),
            "tool" => Ok(Self::Tool),
            other => Err(format!(
                "unknown role '{other}': there are system (or developer), user (or human), \
                 assistant (or gpt, bot, model, chatgpt) and tool"
            )),
        }
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
        let message = "narrator".parse::<Role>().unwrap_err();
        for part in ["'narrator'", "system", "human", "gpt", "tool"] {
            assert!(message.contains(part), "{message}");
        }
        // Names are exact: another spelling may be another thing.
        assert!("User".parse::<Role>().is_err());
    }
}
