//! Settings that choose layers.

use bone::{AttachError, Selection, Targets};
use toml::Value;

use super::{Setting, items, list, quoted};

const ALL_LINEAR: &str = "all-linear";

impl Setting for Selection {
    /// Reads text as one or more comma-separated names if it only has characters of layer names. Reads any
    /// other text as a regular expression.
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == ALL_LINEAR {
            return Ok(Self::AllLinear);
        }
        let in_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let names = text.split(',').map(str::trim);
        let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            let give = "give all-linear, layer names, or a regular expression";
            return Err(format!("must not be empty; {give}"));
        }
        if names.iter().all(|name| name.chars().all(in_name)) {
            return named(names.into_iter().map(str::to_owned).collect());
        }
        let expression = Self::Regex(text.to_owned());
        // Without layers there is nothing to match: the only possible error is a bad expression.
        match Targets::new(expression.clone()).resolve(&[]) {
            Err(error @ AttachError::Pattern { .. }) => Err(error.to_string().replace('\n', " ")),
            _ => Ok(expression),
        }
    }

    fn from_nested(names: &Value) -> Result<Self, String> {
        named(items(names)?)
    }

    fn literal(&self) -> String {
        match self {
            Self::AllLinear => quoted(ALL_LINEAR),
            Self::Names(names) => list(names, |name| quoted(name)),
            // An expression that looks like a name must be written in brackets.
            Self::Regex(pattern) if Self::from_text(pattern).as_ref() != Ok(self) => {
                quoted(&format!("(?:{pattern})"))
            }
            Self::Regex(pattern) => quoted(pattern),
        }
    }
}

/// Returns a selection by name. `all-linear` is not a name.
fn named(names: Vec<String>) -> Result<Selection, String> {
    if names.iter().any(|name| name == ALL_LINEAR) {
        return Err(format!(
            "{ALL_LINEAR} cannot be combined with other names; remove the others, or list all layers"
        ));
    }
    Ok(Selection::Names(names))
}

/// Limit for the length of a range. No model is that deep, so a longer range is a typing error.
const MOST_LAYERS: usize = 10_000;

/// Layer numbers.
impl Setting for Vec<usize> {
    fn from_text(text: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse::<usize>(), last.trim().parse()) {
                (Ok(first), Ok(last)) if last < MOST_LAYERS && first <= last => {
                    numbers.extend(first..=last);
                }
                _ => {
                    return Err(format!(
                        "'{part}' is not a block number; write 0,1,4 or 0-7"
                    ));
                }
            }
        }
        Ok(numbers)
    }

    fn from_nested(numbers: &Value) -> Result<Self, String> {
        Self::from_text(&items::<String>(numbers)?.join(","))
    }

    fn literal(&self) -> String {
        format!("{self:?}")
    }
}
