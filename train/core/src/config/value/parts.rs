//! The setting that chooses parts of a model.

use std::fmt;

use bone_lm::Part;
use toml::Value;

use super::{Setting, items, list, wrong_type};
use crate::config::words::Word;

/// Parts of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts(pub Vec<Part>);

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|part| part.word()).collect();
        f.write_str(&words.join(", "))
    }
}

impl Setting for Parts {
    fn wanted() -> String {
        "a list of parts like [\"ln\", \"head\"]".to_owned()
    }

    /// Every name that is none is listed.
    fn from_text(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim);
        let (parts, wrong): (Vec<_>, Vec<_>) = names
            .filter(|name| !name.is_empty())
            .map(Part::from_word)
            .partition(Result::is_ok);
        let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        if parts.is_empty() {
            let parts = Part::words().join(", ");
            return Err(format!(
                "names no part; leave it out, or give some of {parts}"
            ));
        }
        Ok(Self(parts.into_iter().flatten().collect()))
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            Value::Array(names) => Self::from_text(&items::<String>(names, "a part")?.join(",")),
            other => Err(wrong_type::<Self>(other)),
        }
    }

    fn literal(&self) -> String {
        list(&self.0, Setting::literal)
    }
}
