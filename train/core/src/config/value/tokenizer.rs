//! The setting that names a tokenizer.

use bone_tokenizer::TokenizerChoice;
use toml::Value;

use super::{Setting, quoted, wrong_type};

impl Setting for TokenizerChoice {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            other => Err(wrong_type(other, "auto, bytes or a path, in quotes")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let text = String::from_text(text)?;
        text.parse().map_err(|error| format!("{error}"))
    }

    fn literal(&self) -> String {
        quoted(&self.to_string())
    }
}
