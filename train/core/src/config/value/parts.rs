//! The setting that chooses parts of a model.

use std::fmt;

use bone_lm::Part;
use toml::Value;

use super::layers::toml_list;
use super::{Setting, list, quoted, wrong_type};
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
    fn from_toml(value: &Value) -> Result<Self, String> {
        let names = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Array(names) => names,
            other => return Err(wrong_type(other, "a list of parts like [\"ln\", \"head\"]")),
        };
        let names: Result<Vec<_>, _> = names.iter().map(String::from_toml).collect();
        let names = names.map_err(|error| format!("in the list: a part {error}"))?;
        named(names.iter().map(String::as_str))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match toml_list(text) {
            Some(list) => Self::from_toml(&list),
            None => named(text.split(',').map(str::trim)),
        }
    }

    fn literal(&self) -> String {
        list(&self.0, |part| quoted(part.word()))
    }
}

/// The parts of these names; every name that is none is listed.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> Result<Parts, String> {
    let (parts, wrong): (Vec<_>, Vec<_>) = names
        .filter(|name| !name.is_empty())
        .map(Part::from_word)
        .partition(Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    if parts.is_empty() {
        return Err("names no part; leave it out, or give some of time, ln, emb, head".to_owned());
    }
    Ok(Parts(parts))
}
