//! Settings that choose layers.

use bone::Selection;
use toml::Value;

use super::{Setting, list, quoted, toml_value, wrong_type};

const ALL_LINEAR: &str = "all-linear";
const SELECTION: &str = "\"all-linear\", a list of layer names, or a regular expression";

impl Setting for Selection {
    fn from_toml(value: &Value) -> Result<Self, String> {
        let names = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Array(names) => names,
            other => return Err(wrong_type(other, SELECTION)),
        };
        if names.is_empty() {
            return Err(format!("the list is empty; give {SELECTION}"));
        }
        let names: Result<Vec<_>, _> = names.iter().map(String::from_toml).collect();
        let names = names.map_err(|error| format!("in the list: a layer name {error}"))?;
        named(names)
    }

    /// Text made only of what layer names are made of is a name, or several with commas between;
    /// a list in TOML is a list; anything else is a regular expression.
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == ALL_LINEAR {
            return Ok(Self::AllLinear);
        }
        let in_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let names: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        if names.is_empty() {
            return Err(format!("is empty; give {SELECTION}"));
        }
        if names.iter().all(|name| name.chars().all(in_name)) {
            return named(names.into_iter().map(str::to_owned).collect());
        }
        match toml_list(text) {
            Some(list) => Self::from_toml(&list),
            None => Ok(Self::Regex(text.to_owned())),
        }
    }

    fn literal(&self) -> String {
        match self {
            Self::AllLinear => quoted(ALL_LINEAR),
            Self::Names(names) => list(names, |name| quoted(name)),
            // An expression that looks like a name needs brackets to be read as one.
            Self::Regex(pattern) if Self::from_text(pattern).as_ref() != Ok(self) => {
                quoted(&format!("(?:{pattern})"))
            }
            Self::Regex(pattern) => quoted(pattern),
        }
    }
}

/// A selection by name; `all-linear` is no name.
fn named(names: Vec<String>) -> Result<Selection, String> {
    if names.iter().any(|name| name == ALL_LINEAR) {
        return Err(format!(
            "{ALL_LINEAR} must stand alone, without commas or brackets; leave the other names \
             out, or name every layer"
        ));
    }
    Ok(Selection::Names(names))
}

/// Numbers of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers(pub Vec<usize>);

/// A range longer than any model is deep is a slip of the keyboard.
const MOST_LAYERS: usize = 10_000;

impl Setting for Layers {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            Value::Array(numbers) => {
                let numbers: Result<Vec<_>, _> = numbers.iter().map(usize::from_toml).collect();
                match numbers {
                    Ok(numbers) if numbers.is_empty() => Err("the list is empty".to_owned()),
                    Ok(numbers) => Ok(Self(numbers)),
                    Err(error) => Err(format!("in the list: a layer number {error}")),
                }
            }
            other => Err(wrong_type(other, "a list of layer numbers like [0, 1]")),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(list) = toml_list(text) {
            return Self::from_toml(&list);
        }
        let mut numbers = Vec::new();
        for part in text.split(',').map(str::trim) {
            let bounds = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>();
            match (number(bounds.0), number(bounds.1)) {
                (Ok(first), Ok(last)) if first <= last && last < MOST_LAYERS => {
                    numbers.extend(first..=last);
                }
                _ => {
                    return Err(format!(
                        "'{part}' is not a layer number; write 0,1,4 or 0-7"
                    ));
                }
            }
        }
        Ok(Self(numbers))
    }

    fn literal(&self) -> String {
        list(&self.0, usize::literal)
    }
}

/// `text` as a TOML list, if it is one.
pub(super) fn toml_list(text: &str) -> Option<Value> {
    toml_value(text).filter(Value::is_array)
}
