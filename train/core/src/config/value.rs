//! Reading one setting, from TOML or from the command line, and writing it back as TOML.

use std::path::PathBuf;
use std::str::FromStr;

use bone_data::tokenizer::TokenizerChoice;
use bone_data::{FieldMap, Holdout, Schema};
use toml::{Table, Value};

use super::words::Word;

mod layers;
mod parts;
mod sources;

pub use layers::Layers;
pub use parts::Parts;

/// The largest whole number that TOML can hold.
const MOST: u64 = i64::MAX as u64;

/// A setting as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Written<'a> {
    Toml(&'a Value),
    /// On the command line.
    Text(&'a str),
}

/// A type of setting. The errors are sentences without the name of the key.
pub(super) trait Setting: Sized {
    /// What a value is: `a number`.
    fn wanted() -> String;

    fn from_text(text: &str) -> Result<Self, String>;

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            other => Err(wrong_type::<Self>(other)),
        }
    }

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
}

/// Reads a setting. A list on the command line may be one in TOML.
pub(super) fn read<T: Setting>(written: Written<'_>) -> Result<T, String> {
    match written {
        Written::Toml(value) => T::from_toml(value),
        Written::Text(text) => match toml_value(text).filter(Value::is_array) {
            Some(list) => T::from_toml(&list),
            None => T::from_text(text),
        },
    }
}

fn toml_value(text: &str) -> Option<Value> {
    let mut table: Table = format!("value = {text}").parse().ok()?;
    table.remove("value")
}

fn wrong_type<T: Setting>(value: &Value) -> String {
    let got = match value {
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Integer(number) => format!("the whole number {number}"),
        Value::Float(number) => format!("the number {number:?}"),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table (settings are not grouped in sections)".to_owned(),
    };
    format!("must be {}, not {got}", T::wanted())
}

fn parsed<T: Setting + FromStr>(text: &str) -> Result<T, String> {
    let wrong = |_| format!("must be {}, not '{text}'", T::wanted());
    text.parse().map_err(wrong)
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

/// Every entry of a list, at least one; `what` is what an entry is.
fn items<T: Setting>(values: &[Value], what: &str) -> Result<Vec<T>, String> {
    if values.is_empty() {
        return Err("the list is empty".to_owned());
    }
    let items = values.iter().map(T::from_toml).collect::<Result<_, _>>();
    items.map_err(|error| format!("in the list: {what} {error}"))
}

/// What is wrong with the keys of a table.
fn key_problems(table: &Table, required: &[&str], optional: &[&str]) -> Vec<String> {
    let keys = [required, optional].concat();
    let unknown = table.keys().filter(|key| !keys.contains(&key.as_str()));
    let unknown = unknown.map(|key| {
        let keys = keys.join(", ");
        format!("unknown key '{key}' (the keys are {keys})")
    });
    let missing = required.iter().filter(|key| !table.contains_key(**key));
    unknown
        .chain(missing.map(|key| format!("missing key '{key}'")))
        .collect()
}

impl Setting for String {
    fn wanted() -> String {
        "a string".to_owned()
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
    fn wanted() -> String {
        "a path in quotes".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(Self::from)
    }

    fn literal(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for TokenizerChoice {
    fn wanted() -> String {
        "auto, bytes or a path, in quotes".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(&String::from_text(text)?)
    }

    fn literal(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for u64 {
    fn wanted() -> String {
        "a whole number, 0 or more".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let number = parsed(text)?;
        if number > MOST {
            return Err(format!("must be at most {MOST}"));
        }
        Ok(number)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) if *number >= 0 => Ok(number.unsigned_abs()),
            other => Err(wrong_type::<Self>(other)),
        }
    }

    fn literal(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn wanted() -> String {
        u64::wanted()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        fitting(u64::from_text(text)?)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        fitting(u64::from_toml(value)?)
    }

    fn literal(&self) -> String {
        self.to_string()
    }
}

fn fitting(number: u64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| format!("must be at most {}", usize::MAX))
}

impl Setting for f64 {
    fn wanted() -> String {
        "a number".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Float(number) => Ok(*number),
            Value::Integer(number) => Ok(*number as f64),
            other => Err(wrong_type::<Self>(other)),
        }
    }

    fn literal(&self) -> String {
        // Debug keeps every digit and writes small numbers as 2e-5.
        format!("{self:?}")
    }
}

impl Setting for bool {
    fn wanted() -> String {
        "true or false".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Ok(*value),
            other => Err(wrong_type::<Self>(other)),
        }
    }

    fn literal(&self) -> String {
        self.to_string()
    }
}

impl<T: Word> Setting for T {
    fn wanted() -> String {
        format!("one of {}", T::words().join(", "))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Self::from_word(text)
    }

    fn literal(&self) -> String {
        quoted(self.word())
    }
}

impl Setting for Schema {
    fn wanted() -> String {
        format!("one of {}", Self::names().join(", "))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn literal(&self) -> String {
        quoted(self.name().unwrap_or("a field map"))
    }
}

impl Setting for FieldMap {
    fn wanted() -> String {
        "a table like { instruction = \"query\", response = \"response\" }".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{error}"))
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let table = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Table(table) => table,
            other => return Err(wrong_type::<Self>(other)),
        };
        let mut problems = key_problems(table, &["instruction", "response"], &["input"]);
        let mut field = |key: &str| match table.get(key).map(String::from_toml)? {
            Ok(field) => Some(field),
            Err(error) => {
                problems.push(format!("{key} {error}"));
                None
            }
        };
        let fields = (field("instruction"), field("input"), field("response"));
        match fields {
            (Some(instruction), input, Some(response)) if problems.is_empty() => Ok(Self {
                instruction,
                input,
                response,
            }),
            _ => Err(problems.join("; ")),
        }
    }

    fn literal(&self) -> String {
        let input = self.input.iter();
        let input: String = input
            .map(|input| format!("input = {}, ", quoted(input)))
            .collect();
        let (instruction, response) = (quoted(&self.instruction), quoted(&self.response));
        format!("{{ instruction = {instruction}, {input}response = {response} }}")
    }
}

impl Setting for Holdout {
    fn wanted() -> String {
        "a count like 200 or a share like 0.02".to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(Self::Count(count)) if count as u64 > MOST => Err(format!("must be at most {MOST}")),
            Ok(holdout) => Ok(holdout),
            Err(error) => Err(format!("{error}")),
        }
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => Self::from_text(&number.to_string()),
            Value::Float(number) => Self::from_text(&number.literal()),
            other => Err(wrong_type::<Self>(other)),
        }
    }

    fn literal(&self) -> String {
        match self {
            Self::Count(count) => count.literal(),
            Self::Share(share) => share.literal(),
        }
    }
}
