//! Prompt templates: how a row becomes a prompt and a completion.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::rows::Row;
use parse::{Field, Part};

mod parse;
#[cfg(test)]
mod tests;

pub use parse::TemplateProblem;

/// How a row becomes the text that is read (the prompt) and the text that is learnt (the
/// completion).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Template {
    /// The Alpaca prompt, as the seed of Bone uses it, with Alpaca's own wording for rows that
    /// have an input.
    #[default]
    Alpaca,
    /// The instruction and the input as they are, with nothing between.
    Plain,
    /// A template of one's own.
    Custom(CustomTemplate),
}

/// A template read from a file: see [`Template::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomTemplate {
    source: String,
    prompt: Vec<Part>,
    suffix: String,
}

/// A template that cannot be used.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The name is no built-in template and cannot be read as a file.
    #[error(
        "template '{}': {source}; give alpaca, plain or a file with {{instruction}}, {{input}} \
         and {{response}}", .path.display()
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
}

impl Template {
    /// `alpaca`, `plain`, or the path of a template file.
    ///
    /// # Errors
    /// [`TemplateError`]: no such file, or all that is wrong with its placeholders.
    pub fn load(name_or_path: &str) -> Result<Self, TemplateError> {
        match name_or_path {
            "alpaca" => Ok(Self::Alpaca),
            "plain" => Ok(Self::Plain),
            path => {
                let text = fs::read_to_string(path).map_err(|source| TemplateError::Io {
                    path: Path::new(path).to_owned(),
                    source,
                })?;
                Self::parse(&text, path)
            }
        }
    }

    /// Reads a template of one's own; `origin` is what errors and [`Display`](fmt::Display) call it.
    ///
    /// The text before `{response}` is the prompt and must hold `{instruction}`; it may hold
    /// `{input}`. The text after `{response}` is trained with the response. `{{` and `}}` stand
    /// for braces. One line break at the very end is taken as the editor's and left out.
    ///
    /// # Errors
    /// [`TemplateError::Invalid`] with every problem.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TemplateError> {
        let text = text.replace("\r\n", "\n");
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let (prompt, suffix) = parse::parse(text).map_err(|problems| TemplateError::Invalid {
            origin: origin.to_owned(),
            problems,
        })?;
        Ok(Self::Custom(CustomTemplate {
            source: origin.to_owned(),
            prompt,
            suffix,
        }))
    }

    /// The text that the model reads before it answers; none of it is trained.
    pub fn prompt(&self, row: &Row) -> String {
        let Row {
            instruction, input, ..
        } = row;
        match self {
            Self::Alpaca if input.is_empty() => format!(
                "Below is an instruction that describes a task. Write a response that \
                 appropriately completes the request.\n\n\
                 ### Instruction:\n{instruction}\n\n### Response:"
            ),
            Self::Alpaca => format!(
                "Below is an instruction that describes a task, paired with an input that \
                 provides further context. Write a response that appropriately completes the \
                 request.\n\n\
                 ### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
            ),
            Self::Plain => format!("{instruction}{input}"),
            Self::Custom(custom) => custom
                .prompt
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.as_str(),
                    Part::Field(Field::Instruction) => instruction,
                    Part::Field(Field::Input) => input,
                })
                .collect(),
        }
    }

    /// The text that is trained: the response and what the template puts after it.
    pub fn completion(&self, row: &Row) -> String {
        format!("{}{}", row.response, self.suffix())
    }

    /// What follows every response, empty for the built-in templates.
    pub fn suffix(&self) -> &str {
        match self {
            Self::Alpaca | Self::Plain => "",
            Self::Custom(custom) => &custom.suffix,
        }
    }

    /// Whether a row's input appears in its prompt.
    pub fn uses_input(&self) -> bool {
        match self {
            Self::Alpaca | Self::Plain => true,
            Self::Custom(custom) => custom.prompt.contains(&Part::Field(Field::Input)),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alpaca => "alpaca",
            Self::Plain => "plain",
            Self::Custom(custom) => &custom.source,
        })
    }
}
