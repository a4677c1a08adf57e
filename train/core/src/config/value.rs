//! Reading one setting, from TOML or from the command line, and writing it back as TOML.

use std::fmt::Display;
use std::path::PathBuf;

use bone_data::{Holdout, Schema, joined};
use bone_tokenizer::TokenizerChoice;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

mod data;
mod layers;

/// A type of setting. Its errors are messages without the key's name.
pub(super) trait Setting: Sized {
    /// Reads text from the user. TOML strings, numbers and booleans are passed as their text.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads a TOML list or table.
    fn from_nested(value: &Value) -> Result<Self, String> {
        let kind = value.type_str();
        Err(format!(
            "expected a single value, found {kind}; `bone train --help` shows the possible values"
        ))
    }

    /// Returns TOML that reads back as the same value.
    fn literal(&self) -> String;

    /// Checks a value that was set from code: could it have been read from text?
    fn check(&self) -> Result<(), String> {
        match toml_value(&self.literal()) {
            Some(value) => read::<Self>(&value).map(|_| ()),
            // Only a number can be too large for TOML.
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

/// Parses text from the command line. A list may be written in TOML syntax.
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

/// Returns a TOML basic string on one line.
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

/// Reads every entry of a list, which must not be empty.
pub(super) fn items<T: Setting>(value: &Value) -> Result<Vec<T>, String> {
    let values = value.as_array().ok_or("must be a list, not a table")?;
    if values.is_empty() {
        return Err("must not be an empty list".to_owned());
    }
    let entry = |(index, value): (usize, &Value)| {
        let wrong = |error| format!("entry {}: {error}", index + 1);
        read(value).map_err(wrong)
    };
    all(values.iter().enumerate().map(entry))
}

/// Returns all values, or all errors.
pub(super) fn all<T>(read: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, String> {
    let (good, bad): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let bad: Vec<_> = bad.into_iter().filter_map(Result::err).collect();
    if bad.is_empty() {
        Ok(good.into_iter().flatten().collect())
    } else {
        Err(joined(bad, "; "))
    }
}

/// Implements `Setting` for types with `FromStr`. `$wanted` describes a valid value if the type's own error
/// is too vague.
macro_rules! parsed {
    ($($type:ty, $wanted:literal, $literal:expr;)+) => {$(
        impl Setting for $type {
            fn from_text(text: &str) -> Result<Self, String> {
                if text.is_empty() {
                    return Err("must not be empty".to_owned());
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
    // `Debug` keeps every digit and writes small numbers as 2e-5.
    f64, "a number", |number: &f64| format!("{number:?}");
    u64, "an integer of at least 0", u64::to_string;
    usize, "an integer of at least 0", usize::to_string;
}
