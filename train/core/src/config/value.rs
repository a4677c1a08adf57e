//! Reading one setting, from TOML or from the command line, and writing it back as TOML.

use std::fmt::Display;
use std::path::PathBuf;

use bone_data::{Holdout, Schema};
use bone_tokenizer::TokenizerChoice;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

mod data;
mod layers;

/// A type of setting. The errors are sentences without the name of the key.
pub(super) trait Setting: Sized {
    /// Reads what a person types. Strings, numbers and booleans of TOML are read as their text.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads a list or a table of TOML.
    fn from_nested(value: &Value) -> Result<Self, String> {
        let kind = value.type_str();
        Err(format!(
            "cannot be of the type {kind}; `bone train --help` shows what it can be"
        ))
    }

    /// TOML that is read as the same value.
    fn literal(&self) -> String;

    /// Whether a value that no text was read for could have been read.
    fn check(&self) -> Result<(), String> {
        match toml_value(&self.literal()) {
            Some(value) => read::<Self>(&value).map(|_| ()),
            // Only a number can be too large to be written.
            None => Err(format!("must be at most {}", i64::MAX)),
        }
    }
}

/// Reads a setting.
pub(super) fn read<T: Setting>(value: &Value) -> Result<T, String> {
    match value {
        Value::Array(_) | Value::Table(_) => T::from_nested(value),
        Value::String(text) => T::from_text(text),
        plain => T::from_text(&plain.to_string()),
    }
}

/// Returns what was typed on the command line, where a list may be written as in TOML.
pub(super) fn typed(text: &str) -> Value {
    let list = toml_value(text).filter(Value::is_array);
    list.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn toml_value(text: &str) -> Option<Value> {
    let mut table: Table = format!("value = {text}").parse().ok()?;
    table.remove("value")
}

/// Reads a table whose keys are the fields of `T`. The error names the key.
fn fields<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let read = value.clone().try_into();
    read.map_err(|error: toml::de::Error| error.to_string().trim_end().replace('\n', " "))
}

/// A TOML basic string on one line.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

pub(super) fn list<T>(values: &[T], literal: impl Fn(&T) -> String) -> String {
    let values: Vec<_> = values.iter().map(literal).collect();
    format!("[{}]", values.join(", "))
}

/// Every entry of a list, at least one.
pub(super) fn items<T: Setting>(value: &Value) -> Result<Vec<T>, String> {
    let values = value.as_array().ok_or("must be a list, not a table")?;
    if values.is_empty() {
        return Err("the list is empty".to_owned());
    }
    let wrong = |error| format!("in the list: {error}");
    all(values.iter().map(|value| read(value).map_err(wrong)))
}

/// All values, or all that is wrong with some.
pub(super) fn all<T>(read: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, String> {
    let (good, bad): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let bad: Vec<_> = bad.into_iter().filter_map(Result::err).collect();
    if bad.is_empty() {
        Ok(good.into_iter().flatten().collect())
    } else {
        Err(bad.join("; "))
    }
}

/// Types that are read as they parse. Where their own errors say too little, `$wanted` says what a
/// value is.
macro_rules! parsed {
    ($($type:ty, $wanted:literal, $literal:expr;)+) => {$(
        impl Setting for $type {
            fn from_text(text: &str) -> Result<Self, String> {
                if text.is_empty() {
                    return Err("is empty".to_owned());
                }
                text.parse().map_err(|error| wrong(text, $wanted, error))
            }

            fn literal(&self) -> String {
                $literal(self)
            }
        }
    )+};
}

fn wrong(text: &str, wanted: &str, error: impl Display) -> String {
    if wanted.is_empty() {
        error.to_string()
    } else {
        format!("must be {wanted}, not '{text}'")
    }
}

parsed! {
    String, "", |text: &str| quoted(text);
    PathBuf, "", |path: &PathBuf| quoted(&path.to_string_lossy());
    TokenizerChoice, "", |choice: &TokenizerChoice| quoted(&choice.to_string());
    Schema, "", |schema: &Schema| quoted(schema.name().unwrap_or("a field map"));
    Holdout, "", Holdout::to_string;
    bool, "true or false", bool::to_string;
    // Debug keeps every digit and writes small numbers as 2e-5.
    f64, "a number", |number: &f64| format!("{number:?}");
    u64, "a whole number, 0 or more", u64::to_string;
    usize, "a whole number, 0 or more", usize::to_string;
}
