//! Errors of templates.

use thiserror::Error;

/// A template that cannot be read: its name, what is wrong with it, and what to do.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct TemplateError(pub(super) String);

/// A row or a conversation that a template does not support.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// The conversation has no assistant message to train on.
    #[error("the conversation has no assistant message, so there is nothing to train on")]
    NoAnswer,
    /// A conversation, but the template supports only one question and one answer.
    #[error("{0}")]
    SingleTurn(String),
    /// A chat template whose output does not show which part belongs to a message.
    #[error("{0}")]
    NotInTurns(String),
    /// A chat template that runs too long or writes too much.
    #[error("{0}; bone does not run the template on the remaining rows")]
    Limit(String),
    /// A chat template that met a limit on an earlier row.
    #[error("{0}")]
    NotTried(String),
    /// The template rejects the conversation, the tokenizer its text, or the model its tokens.
    #[error("{0}")]
    Refused(String),
}

impl RenderError {
    /// Returns the error for message `at`, from 1, with a role that `template` does not support there.
    pub(super) fn role(template: &str, at: usize, found: impl ToString, wanted: &str) -> Self {
        let found = found.to_string();
        Self::Refused(format!(
            "message {at} is by {found}, but the template '{template}' expects {wanted}"
        ))
    }
}
