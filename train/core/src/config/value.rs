//! Reading one setting, from TOML or from the command line, and writing it back as TOML.

use std::path::PathBuf;

use toml::Value;

use super::words::{AxisWord, DtypeChoice, Init, MethodName, Word};
use crate::schedule::ScheduleKind;
use bone_data::{Cut, FieldMap, Holdout};

mod layers;
mod parts;
mod sources;
mod tokenizer;

pub use layers::Layers;
pub use parts::Parts;

/// The largest whole number that TOML can hold.
const MOST: u64 = i64::MAX as u64;

/// A setting as it was given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    Toml(&'a Value),
    Text(&'a str),
}

/// A type of setting. The errors are sentences without the name of the key.
pub(super) trait Setting: Sized {
    fn from_toml(value: &Value) -> Result<Self, String>;

    fn from_text(text: &str) -> Result<Self, String>;

    /// TOML that [`from_toml`](Self::from_toml) reads as the same value.
    fn literal(&self) -> String;

    /// Whether a value that no text was read for could have been read.
    fn check(&self) -> Result<(), String> {
        let literal = self.literal();
        let Some(value) = toml_value(&literal) else {
            return Err(format!("{literal} cannot be written as TOML"));
        };
        Self::from_toml(&value).map(|_| ())
    }

    fn read(given: Given<'_>) -> Result<Self, String> {
        match given {
            Given::Toml(value) => Self::from_toml(value),
            Given::Text(text) => Self::from_text(text),
        }
    }
}

fn wrong_type(value: &Value, wanted: &str) -> String {
    let got = match value {
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Integer(number) => format!("the whole number {number}"),
        Value::Float(number) => format!("the number {number:?}"),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table (settings are not grouped in sections)".to_owned(),
    };
    format!("must be {wanted}, not {got}")
}

/// A TOML basic string on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn list<T>(values: &[T], literal: impl Fn(&T) -> String) -> String {
    let values: Vec<_> = values.iter().map(literal).collect();
    format!("[{}]", values.join(", "))
}

impl Setting for String {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            other => Err(wrong_type(other, "a string")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(text.to_owned())
    }

    fn literal(&self) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            other => Err(wrong_type(other, "a path in quotes")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(Self::from)
    }

    fn literal(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for u64 {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) if *number >= 0 => Ok(number.unsigned_abs()),
            other => Err(wrong_type(other, "a whole number, 0 or more")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if number <= MOST => Ok(number),
            Ok(_) => Err(format!("must be at most {MOST}")),
            Err(_) => Err(format!("must be a whole number, 0 or more, not '{text}'")),
        }
    }

    fn literal(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn from_toml(value: &Value) -> Result<Self, String> {
        let number = u64::from_toml(value)?;
        Self::try_from(number).map_err(|_| format!("must be at most {}", Self::MAX))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let number = u64::from_text(text)?;
        Self::try_from(number).map_err(|_| format!("must be at most {}", Self::MAX))
    }

    fn literal(&self) -> String {
        self.to_string()
    }
}

impl Setting for f64 {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Float(number) => Ok(*number),
            Value::Integer(number) => Ok(*number as f64),
            other => Err(wrong_type(other, "a number")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("must be a number, not '{text}'"))
    }

    fn literal(&self) -> String {
        // Debug keeps every digit and writes small numbers as 2e-5.
        format!("{self:?}")
    }
}

impl Setting for bool {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Ok(*value),
            other => Err(wrong_type(other, "true or false")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("must be true or false, not '{text}'"))
    }

    fn literal(&self) -> String {
        self.to_string()
    }
}

macro_rules! word_settings {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            fn from_toml(value: &Value) -> Result<Self, String> {
                match value {
                    Value::String(word) => Self::from_word(word),
                    other => {
                        let words: Vec<_> = <$type as Word>::ALL.iter().map(|w| w.word()).collect();
                        Err(wrong_type(other, &format!("one of {}", words.join(", "))))
                    }
                }
            }

            fn from_text(text: &str) -> Result<Self, String> {
                Self::from_word(text)
            }

            fn literal(&self) -> String {
                quoted(self.word())
            }
        }
    )+};
}

word_settings!(Init, MethodName, AxisWord, DtypeChoice, ScheduleKind, Cut);

fn toml_value(text: &str) -> Option<Value> {
    let mut table: toml::Table = format!("value = {text}").parse().ok()?;
    table.remove("value")
}

impl Setting for FieldMap {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            Value::Table(table) => field_table(table),
            other => Err(wrong_type(
                other,
                "a table like { instruction = \"query\", response = \"response\" }",
            )),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn literal(&self) -> String {
        let input = self
            .input
            .iter()
            .map(|input| format!("input = {}, ", quoted(input)))
            .collect::<String>();
        format!(
            "{{ instruction = {}, {input}response = {} }}",
            quoted(&self.instruction),
            quoted(&self.response)
        )
    }
}

fn field_table(table: &toml::Table) -> Result<FieldMap, String> {
    let mut problems = Vec::new();
    for (key, value) in table {
        if !["instruction", "input", "response"].contains(&key.as_str()) {
            problems.push(format!(
                "unknown key '{key}' (the keys are instruction, input, response)"
            ));
        } else if let Err(error) = String::from_toml(value) {
            problems.push(format!("{key} {error}"));
        }
    }
    for key in ["instruction", "response"] {
        if !table.contains_key(key) {
            problems.push(format!("missing key '{key}'"));
        }
    }
    let field = |key| table.get(key).and_then(Value::as_str).map(str::to_owned);
    match (field("instruction"), field("response")) {
        (Some(instruction), Some(response)) if problems.is_empty() => Ok(FieldMap {
            instruction,
            input: field("input"),
            response,
        }),
        _ => Err(problems.join("; ")),
    }
}

impl Setting for Holdout {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => Self::from_text(&number.to_string()),
            Value::Float(number) => Self::from_text(&f64::literal(number)),
            other => Err(wrong_type(other, "a count like 200 or a share like 0.02")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(Self::Count(count)) if count as u64 > MOST => Err(format!("must be at most {MOST}")),
            Ok(holdout) => Ok(holdout),
            Err(error) => Err(format!("{error}")),
        }
    }

    fn literal(&self) -> String {
        match self {
            Self::Count(count) => count.literal(),
            Self::Share(share) => share.literal(),
        }
    }
}
