//! The settings that say which rows are read, and which of their fields.

use bone_data::{FieldMap, Source, Sources};
use toml::{Table, Value};

use super::{Setting, items, list, quoted, wrong_type};

impl Setting for Sources {
    const WANTED: &'static str = Source::WANTED;

    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text)?.parse()
    }

    fn from_list(values: &[Value]) -> Result<Self, String> {
        items(values, "a file").map(Self)
    }

    fn literal(&self) -> String {
        // A list keeps commas and signs of a name apart from our own.
        if let [source] = &self.0[..] {
            let text = source.to_string();
            if text.parse().as_ref() == Ok(self) {
                return quoted(&text);
            }
        }
        list(&self.0, Setting::literal)
    }
}

impl Setting for Source {
    const WANTED: &'static str =
        "a file, or a list of files and of { path = \"rows.jsonl[:1000]\", weight = 0.5 }";

    fn from_text(text: &str) -> Result<Self, String> {
        // Commas are of the name here.
        String::from_text(text)?.parse()
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let table = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Table(table) => table,
            other => return Err(wrong_type::<Self>(other)),
        };
        let problems = key_problems(table, &["path"], &["weight"]);
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let path = String::from_toml(&table["path"]).map_err(|error| format!("path {error}"))?;
        let weight = table.get("weight").map_or(Ok(1.0), f64::from_toml);
        Self::weighted(
            path.parse()?,
            weight.map_err(|error| format!("weight {error}"))?,
        )
    }

    fn literal(&self) -> String {
        let path = quoted(&self.selection.to_string());
        format!("{{ path = {path}, weight = {:?} }}", self.weight)
    }
}

impl Setting for FieldMap {
    const WANTED: &'static str =
        "a table like { instruction = \"query\", response = \"response\" }";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        let table = match value {
            Value::String(text) => return Self::from_text(text),
            Value::Table(table) => table,
            other => return Err(wrong_type::<Self>(other)),
        };
        let mut problems = key_problems(table, &["instruction", "response"], &["input"]);
        let mut field = |key: &str| {
            let field = table.get(key).map(String::from_toml)?;
            field
                .map_err(|error| problems.push(format!("{key} {error}")))
                .ok()
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
        let fields = [
            ("instruction", Some(&self.instruction)),
            ("input", self.input.as_ref()),
            ("response", Some(&self.response)),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(key, field)| Some((key, field?)));
        let fields: Vec<_> = fields
            .map(|(key, field)| format!("{key} = {}", quoted(field)))
            .collect();
        format!("{{ {} }}", fields.join(", "))
    }
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
    let missing = missing.map(|key| format!("missing key '{key}'"));
    unknown.chain(missing).collect()
}
