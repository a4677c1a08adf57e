//! Errors of commands.

use bone_data::TemplateError;
use bone_lm::sampling::SamplingError;
use bone_train::run::{RunError, is_wrong_request};
use std::error::Error;
use std::fmt;
use std::path::Path;

/// Reason why a command failed, as a message for the user.
///
/// `?` converts any error into it. It does not implement [`Error`]: that would conflict with the
/// conversion.
#[derive(Debug)]
pub struct CommandError(Box<dyn Error + Send + Sync>);

/// The request is contradictory.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl<E: Error + Send + Sync + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CommandError {
    /// Returns 2 for a wrong request, 1 for a failure, and 128 + N for signal N.
    pub fn exit_code(&self) -> u8 {
        let error = &self.0;
        if let Some(error) = error.downcast_ref::<RunError>() {
            return error.exit_code();
        }
        let is_request = error.is::<Usage>()
            || error.is::<SamplingError>()
            || error.is::<TemplateError>()
            || is_wrong_request(&**error);
        if is_request { 2 } else { 1 }
    }

    /// Returns whether a signal stopped a run.
    pub fn is_stop(&self) -> bool {
        self.0
            .downcast_ref()
            .is_some_and(|error: &RunError| error.is_stop())
    }

    /// Returns the error of an invalid request.
    pub fn usage(message: impl Into<String>) -> Self {
        Usage(message.into()).into()
    }

    /// Returns the error of a valid request with a wrong result.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// Returns the error that a folder or file blocks the command, is missing or is of the wrong kind.
    pub(crate) fn path(path: impl AsRef<Path>, reason: impl fmt::Display) -> Self {
        Self::wrong(format!("{}: {reason}", path.as_ref().display()))
    }

    /// Returns a function that turns a system error into an error at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::path(path, source)
    }
}
