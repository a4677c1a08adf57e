//! Reading one setting, from TOML or from the command line, and writing it back as TOML.

use std::path::PathBuf;

use bone_data::{Holdout, Schema};
use bone_tokenizer::TokenizerChoice;
use toml::{Table, Value};

mod data;
mod layers;
mod parts;

pub use layers::Layers;
pub use parts::Parts;

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
    const WANTED: &'static str;

    fn from_text(text: &str) -> Result<Self, String>;

    fn from_list(values: &[Value]) -> Result<Self, String> {
        Err(wrong_type::<Self>(&Value::Array(values.to_vec())))
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            Value::Array(values) => Self::from_list(values),
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

/// Reads a setting. On the command line a list may be written as in TOML.
pub(super) fn read<T: Setting>(written: Written<'_>) -> Result<T, String> {
    match written {
        Written::Toml(value) => T::from_toml(value),
        Written::Text(text) => match toml_value(text) {
            Some(Value::Array(values)) => T::from_list(&values),
            _ => T::from_text(text),
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
    format!("must be {}, not {got}", T::WANTED)
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

fn list<T>(values: &[T], literal: impl Fn(&T) -> String) -> String {
    let values: Vec<_> = values.iter().map(literal).collect();
    format!("[{}]", values.join(", "))
}

/// Every entry of a list, at least one; `what` is what an entry is.
fn items<T: Setting>(values: &[Value], what: &str) -> Result<Vec<T>, String> {
    if values.is_empty() {
        return Err("the list is empty".to_owned());
    }
    let wrong = |error| format!("in the list: {what} {error}");
    all(values
        .iter()
        .map(|value| T::from_toml(value).map_err(wrong)))
}

/// All values, or all that is wrong with some.
fn all<T>(read: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, String> {
    let (good, bad): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let bad: Vec<_> = bad.into_iter().filter_map(Result::err).collect();
    if bad.is_empty() {
        Ok(good.into_iter().flatten().collect())
    } else {
        Err(bad.join("; "))
    }
}

macro_rules! texts {
    ($($type:ty, $wanted:literal, |$value:ident| $text:expr;)+) => {$(
        impl Setting for $type {
            const WANTED: &'static str = $wanted;

            fn from_text(text: &str) -> Result<Self, String> {
                if text.is_empty() {
                    return Err("is empty".to_owned());
                }
                text.parse().map_err(|error| format!("{error}"))
            }

            fn literal(&self) -> String {
                let $value = self;
                quoted($text)
            }
        }
    )+};
}

texts! {
    String, "a string", |text| text;
    PathBuf, "a path in quotes", |path| &path.to_string_lossy();
    TokenizerChoice, "auto, bytes or a path, in quotes", |choice| &choice.to_string();
    Schema, "the name of a schema", |schema| schema.name().unwrap_or("a field map");
}

macro_rules! plain {
    ($($type:ty: $read:ty, $wanted:literal, $convert:expr,
       $(Value::$kind:ident($number:ident) $(if $guard:expr)? => $value:expr),+;)+
    ) => {$(
        impl Setting for $type {
            const WANTED: &'static str = $wanted;

            fn from_text(text: &str) -> Result<Self, String> {
                let wrong = |_| format!("must be {}, not '{text}'", Self::WANTED);
                let read = text.parse::<$read>().map_err(wrong)?;
                $convert(read)
            }

            fn from_toml(value: &Value) -> Result<Self, String> {
                match value {
                    $(Value::$kind($number) $(if $guard)? => $convert($value),)+
                    other => Err(wrong_type::<Self>(other)),
                }
            }

            fn literal(&self) -> String {
                // Debug keeps every digit and writes small numbers as 2e-5.
                format!("{self:?}")
            }
        }
    )+};
}

plain! {
    bool: bool, "true or false", Ok, Value::Boolean(value) => *value;
    f64: f64, "a number", Ok, Value::Float(n) => *n, Value::Integer(n) => *n as f64;
    u64: u64, "a whole number, 0 or more", within, Value::Integer(n) if *n >= 0 => n.unsigned_abs();
    usize: u64, "a whole number, 0 or more", within, Value::Integer(n) if *n >= 0 => n.unsigned_abs();
}

/// A whole number that TOML can hold.
fn within<T: TryFrom<u64>>(number: u64) -> Result<T, String> {
    let fitting = T::try_from(number).ok();
    let fitting = fitting.filter(|_| number <= i64::MAX as u64);
    fitting.ok_or_else(|| format!("must be at most {}", i64::MAX))
}

impl Setting for Holdout {
    const WANTED: &'static str = "a count like 200 or a share like 0.02";

    fn from_text(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Self::Count(count) => within(count as u64).map(Self::Count),
            share => Ok(share),
        }
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(_) | Value::Float(_) => Self::from_text(&value.to_string()),
            other => Err(wrong_type::<Self>(other)),
        }
    }

    fn literal(&self) -> String {
        self.to_string()
    }
}
