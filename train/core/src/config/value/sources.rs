//! The settings that say what is read and how.

use toml::Value;

use super::{Setting, list, quoted, wrong_type};
use bone_data::{Schema, Selection, Source, Sources};

const WANTED: &str =
    "a file, or a list of files and of { path = \"rows.jsonl[:1000]\", weight = 0.5 }";

impl Setting for Sources {
    fn from_toml(value: &Value) -> Result<Self, String> {
        let values = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Array(values) => values,
            other => return Err(wrong_type(other, WANTED)),
        };
        let (good, bad): (Vec<_>, Vec<_>) = values.iter().map(source).partition(Result::is_ok);
        let problems: Vec<_> = bad.into_iter().filter_map(Result::err).collect();
        match (problems.is_empty(), good.is_empty()) {
            (false, _) => Err(problems.join("; ")),
            (true, true) => Err("names no file".to_owned()),
            (true, false) => Ok(Self(good.into_iter().flatten().collect())),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text)?.parse()
    }

    fn literal(&self) -> String {
        // A list keeps commas and signs of a name apart from our own.
        match &self.0[..] {
            [source] if *source == Source::whole(source.selection.path.clone()) => {
                let text = source.to_string();
                match text.parse::<Self>() {
                    Ok(read) if read == *self => quoted(&text),
                    _ => list(&self.0, table),
                }
            }
            sources => list(sources, table),
        }
    }
}

fn table(source: &Source) -> String {
    let Source { selection, weight } = source;
    let path = quoted(&selection.to_string());
    format!("{{ path = {path}, weight = {weight:?} }}")
}

/// One entry of the list.
fn source(value: &Value) -> Result<Source, String> {
    let selection = |text: &str| {
        let selection = String::from_text(text)?.parse::<Selection>();
        selection.map_err(|error| error.to_string())
    };
    match value {
        // Commas are of the name here.
        Value::String(text) => String::from_text(text)?.parse(),
        Value::Table(table) => {
            let unknown = table
                .keys()
                .find(|key| !["path", "weight"].contains(&key.as_str()));
            if let Some(key) = unknown {
                return Err(format!("unknown key '{key}' (the keys are path, weight)"));
            }
            let path = match table.get("path") {
                Some(Value::String(path)) => selection(path)?,
                Some(other) => return Err(format!("path {}", wrong_type(other, "a string"))),
                None => return Err("missing key 'path'".to_owned()),
            };
            let weight = table.get("weight").map_or(Ok(1.0), f64::from_toml);
            Source::weighted(path, weight.map_err(|error| format!("weight {error}"))?)
        }
        other => Err(wrong_type(other, WANTED)),
    }
}

impl Setting for Schema {
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(name) => Self::from_text(name),
            other => {
                let names = Self::names().join(", ");
                Err(wrong_type(other, &format!("one of {names}")))
            }
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn literal(&self) -> String {
        quoted(self.name().unwrap_or("a field map"))
    }
}
