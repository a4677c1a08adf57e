//! A custom template: a file with placeholders.

use super::error::TemplateError;
use super::parse::{self, Part};
use bone_files::wording::joined;

/// A template read from a file: see [`Template::parse`](super::Template::parse).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomTemplate {
    pub(super) origin: String,
    /// The file's text as read.
    pub(super) source: String,
    prompt: Vec<Part>,
    suffix: String,
}

impl CustomTemplate {
    pub(super) fn parse(source: &str, origin: &str) -> Result<Self, TemplateError> {
        let text = source.replace("\r\n", "\n");
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let (prompt, suffix) = parse::parse(text).map_err(|problems| {
            TemplateError(format!("template '{origin}': {}", joined(problems, "; ")))
        })?;
        Ok(Self {
            origin: origin.to_owned(),
            source: source.to_owned(),
            prompt,
            suffix,
        })
    }

    pub(super) fn prompt(&self, instruction: &str, input: &str) -> String {
        self.prompt
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Instruction => instruction,
                Part::Input => input,
            })
            .collect()
    }

    /// Returns the text after every response.
    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    pub(super) fn uses_input(&self) -> bool {
        self.prompt.contains(&Part::Input)
    }
}
