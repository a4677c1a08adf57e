//! Settings that choose the rows and their fields.

use bone_data::{FieldMap, Source, Sources};
use serde::Deserialize;
use toml::Value;

use super::{Setting, fields, items, list, quoted};

impl Setting for Sources {
    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text)?.parse()
    }

    fn from_nested(value: &Value) -> Result<Self, String> {
        items(value).map(Self)
    }

    fn literal(&self) -> String {
        // In a list, commas and signs in a name are not read as separators.
        if let [source] = &self.0[..] {
            let text = source.to_string();
            if text.parse().as_ref() == Ok(self) {
                return quoted(&text);
            }
        }
        list(&self.0, Setting::literal)
    }
}

/// A source in a TOML list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    path: String,
    weight: Option<f64>,
}

impl Setting for Source {
    fn from_text(text: &str) -> Result<Self, String> {
        // Here commas are part of the name.
        String::from_text(text)?.parse()
    }

    fn from_nested(value: &Value) -> Result<Self, String> {
        let Weighted { path, weight } = fields(value)?;
        Self::weighted(String::from_text(&path)?.parse()?, weight.unwrap_or(1.0))
    }

    fn literal(&self) -> String {
        let path = quoted(&self.selection.to_string());
        format!("{{ path = {path}, weight = {:?} }}", self.weight)
    }
}

impl Setting for FieldMap {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn from_nested(value: &Value) -> Result<Self, String> {
        let map: Self = fields(value)?;
        let names = [
            Some(&map.instruction),
            map.input.as_ref(),
            Some(&map.response),
        ];
        if names.into_iter().flatten().any(String::is_empty) {
            return Err("the field name must not be empty".to_owned());
        }
        Ok(map)
    }

    fn literal(&self) -> String {
        Value::try_from(self).map_or_else(|error| error.to_string(), |table| table.to_string())
    }
}
