//! Settings that choose layers.

use bone::{AttachError, Selection, Targets};
use toml::Value;

use super::{Setting, items, list, quoted};

const ALL_LINEAR: &str = "all-linear";

impl Setting for Selection {
    const WANTED: &'static str = "\"all-linear\", a list of layer names, or a regular expression";

    /// Text made only of what layer names are made of is a name, or several with commas between;
    /// anything else is a regular expression.
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == ALL_LINEAR {
            return Ok(Self::AllLinear);
        }
        let in_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let names = text.split(',').map(str::trim);
        let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Err(format!("is empty; give {}", Self::WANTED));
        }
        if names.iter().all(|name| name.chars().all(in_name)) {
            return named(names.into_iter().map(str::to_owned).collect());
        }
        let expression = Self::Regex(text.to_owned());
        // Without layers nothing can match: only a bad expression is of interest.
        match Targets::new(expression.clone()).resolve(&[]) {
            Err(error @ AttachError::Pattern { .. }) => Err(error.to_string().replace('\n', " ")),
            _ => Ok(expression),
        }
    }

    fn from_list(names: &[Value]) -> Result<Self, String> {
        named(items(names, "a layer name")?)
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
    const WANTED: &'static str = "a list of layer numbers like [0, 1]";

    fn from_text(text: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for part in text.split(',').map(str::trim) {
            let bounds = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>();
            let wrong = || format!("'{part}' is not a layer number; write 0,1,4 or 0-7");
            match (number(bounds.0), number(bounds.1)) {
                (Ok(first), Ok(last)) if last < MOST_LAYERS && first <= last => {
                    numbers.extend(first..=last);
                }
                _ => return Err(wrong()),
            }
        }
        Ok(Self(numbers))
    }

    fn from_list(numbers: &[Value]) -> Result<Self, String> {
        items(numbers, "a layer number").map(Self)
    }

    fn literal(&self) -> String {
        list(&self.0, usize::literal)
    }
}
