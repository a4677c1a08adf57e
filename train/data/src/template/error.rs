//! Why a template cannot be read or used.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::parse::TemplateProblem;
use crate::conversation::Role;

/// A template that cannot be used.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The name is no built-in template and cannot be read as a file.
    #[error(
        "template '{}': {source}; give alpaca, plain, rwkv, llama2-chat, chatml, model (the \
         model's own chat template), or a file: a chat template (.jinja), or any other with \
         {{instruction}}, {{input}} and {{response}}", .path.display()
    )]
    Io {
        /// What was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file's placeholders are wrong; all problems are listed.
    #[error(
        "template '{origin}': {}",
        .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Invalid {
        /// The file.
        origin: String,
        /// All that is wrong with it.
        problems: Vec<TemplateProblem>,
    },
    /// A chat template that cannot be parsed.
    #[error("chat template '{origin}'{}: {message}", at_line(*.line))]
    ChatTemplate {
        /// Where it is from.
        origin: String,
        /// Line of the template, from 1.
        line: Option<u32>,
        /// What is wrong.
        message: String,
    },
    /// The template `model` was asked for without a model's folder.
    #[error(
        "the template 'model' is the chat template in a model's folder, and the model here is a \
         single file: name another template, or the path of a .jinja file"
    )]
    NoModelFolder,
    /// The model's folder has no chat template.
    #[error(
        "{} has no chat template, neither chat_template.jinja nor chat_template in \
         tokenizer_config.json or chat_template.json; name another template (for a model that \
         was not tuned for chats any of rwkv, llama2-chat and chatml will do), or the path of a \
         .jinja file", .folder.display()
    )]
    NoChatTemplate {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of the model's folder that should have the chat template, or the texts of special
    /// tokens.
    #[error("{}: {reason}", .path.display())]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A row or a conversation that a template cannot be used for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// No message at all.
    #[error("the conversation has no messages")]
    Empty,
    /// No message to learn.
    #[error("no message of the conversation is the assistant's, so there is nothing to learn")]
    NoAnswer,
    /// A prompt that ends with something that nobody answers.
    #[error("the last message is by {0}: it must be by user or tool, for the model to answer it")]
    NoQuestion(Role),
    /// A conversation for a template of one question and one answer.
    #[error(
        "the template '{template}' is for one question and its answer, not for the messages {}; \
         rwkv, llama2-chat, chatml, and model or a .jinja file do conversations",
        .roles.join(", ")
    )]
    SingleTurn {
        /// The template's name.
        template: String,
        /// Who says the first messages, and how many more there are.
        roles: Vec<String>,
    },
    /// A message by someone whom the template does not know there.
    #[error("message {at} is by {found}, where the template '{template}' has {wanted}")]
    Role {
        /// The template's name.
        template: String,
        /// Which message, from 1.
        at: usize,
        /// Who says it.
        found: Role,
        /// Who could.
        wanted: &'static str,
    },
    /// A chat template that called `raise_exception`.
    #[error("the chat template '{template}' refuses the conversation: {message}")]
    Refused {
        /// The template's name.
        template: String,
        /// What it says.
        message: String,
    },
    /// A chat template that goes on for too long, or writes too much.
    #[error("chat template '{template}'{}: {message}", at_line(*.line))]
    Limit {
        /// The template's name.
        template: String,
        /// Line of the template, from 1.
        line: Option<u32>,
        /// What is wrong.
        message: String,
    },
    /// A chat template that met a limit before.
    #[error("chat template '{template}': {message}")]
    NotTried {
        /// The template's name.
        template: String,
        /// Why.
        message: String,
    },
    /// A chat template that does what cannot be done.
    #[error("chat template '{template}'{}: {message}", at_line(*.line))]
    Failed {
        /// The template's name.
        template: String,
        /// Line of the template, from 1.
        line: Option<u32>,
        /// What is wrong.
        message: String,
    },
    /// A chat template whose text does not show which part of it is a message's.
    #[error(
        "the chat template '{template}' can't be trained with: {what} (up to message {at}), so \
         it doesn't show which text the assistant writes; use chatml, or a copy of the template \
         that writes every message alike wherever it stands"
    )]
    NotInTurns {
        /// The template's name.
        template: String,
        /// The message, from 1.
        at: usize,
        /// What was compared.
        what: &'static str,
    },
}

fn at_line(line: Option<u32>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}
