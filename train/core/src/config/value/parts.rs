//! The setting that chooses parts of a model.

use std::fmt;

use bone_lm::Part;
use toml::Value;

use super::{Setting, all, items, list};
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
    const WANTED: &'static str = "a list of parts like [\"ln\", \"head\"]";

    fn from_text(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim);
        let parts = all(names.filter(|name| !name.is_empty()).map(Part::from_word))?;
        if parts.is_empty() {
            let parts = Part::LIST;
            return Err(format!(
                "names no part; leave it out, or give some of {parts}"
            ));
        }
        Ok(Self(parts))
    }

    fn from_list(names: &[Value]) -> Result<Self, String> {
        Self::from_text(&items::<String>(names, "a part")?.join(","))
    }

    fn literal(&self) -> String {
        list(&self.0, Setting::literal)
    }
}
