//! The setting that says which rows are read.

use bone_data::{Selection, Source, Sources};
use toml::Value;

use super::{Setting, key_problems, list, quoted, wrong_type};

impl Setting for Sources {
    fn wanted() -> String {
        "a file, or a list of files and of { path = \"rows.jsonl[:1000]\", weight = 0.5 }"
            .to_owned()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text)?.parse()
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let values = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Array(values) => values,
            other => return Err(wrong_type::<Self>(other)),
        };
        let (good, bad): (Vec<_>, Vec<_>) = values.iter().map(source).partition(Result::is_ok);
        if !bad.is_empty() {
            let problems: Vec<_> = bad.into_iter().filter_map(Result::err).collect();
            return Err(problems.join("; "));
        }
        if good.is_empty() {
            return Err("names no file".to_owned());
        }
        Ok(Self(good.into_iter().flatten().collect()))
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
    let table = match value {
        // Commas are of the name here.
        Value::String(text) => return String::from_text(text)?.parse(),
        Value::Table(table) => table,
        other => return Err(wrong_type::<Sources>(other)),
    };
    let problems = key_problems(table, &["path"], &["weight"]);
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    let path = String::from_toml(&table["path"]).map_err(|error| format!("path {error}"))?;
    let selection = path.parse::<Selection>();
    let weight = table.get("weight").map_or(Ok(1.0), f64::from_toml);
    Source::weighted(
        selection.map_err(|error| error.to_string())?,
        weight.map_err(|error| format!("weight {error}"))?,
    )
}
