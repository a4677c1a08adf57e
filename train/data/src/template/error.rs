//! Why a template cannot be read or used.

use thiserror::Error;

/// A template that cannot be read: which, what is wrong with it, and what to do.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct TemplateError(pub(super) String);

/// A row or a conversation that a template cannot be used for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// Nothing to learn.
    #[error("no message of the conversation is the assistant's, so there is nothing to learn")]
    NoAnswer,
    /// A conversation for a template of one question and one answer.
    #[error("{0}")]
    SingleTurn(String),
    /// A chat template whose text does not show which part of it is a message's.
    #[error("{0}")]
    NotInTurns(String),
    /// A chat template that goes on for too long, or writes too much.
    #[error("{0}; it is not tried again on other rows")]
    Limit(String),
    /// A chat template that met a limit before.
    #[error("{0}")]
    NotTried(String),
    /// The template refuses the conversation, the tokenizer its text, or the model its tokens.
    #[error("{0}")]
    Refused(String),
}

impl RenderError {
    /// A message, from 1, by someone whom `template` does not know there.
    pub(super) fn role(template: &str, at: usize, found: impl ToString, wanted: &str) -> Self {
        let found = found.to_string();
        Self::Refused(format!(
            "message {at} is by {found}, where the template '{template}' has {wanted}"
        ))
    }
}
