//! Output of the settings: as TOML, and as lines for the user.

use super::settings::scope::Scope;
use super::settings::table::{Fallback, Row};
use super::{SETTINGS, TrainConfig};

impl TrainConfig {
    /// Returns the whole configuration as TOML: one key per line, with a comment above each group.
    /// [`resolve`](super::resolve) reads it as the same configuration.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# A run of `bone train`, with every default filled in.\n");
        let mut group = "";
        for (row, shown) in self.shown() {
            if group != row.group {
                group = row.group;
                text.push_str(&format!("\n# {group}\n"));
            }
            text.push_str(&match shown {
                Ok(literal) => format!("{} = {literal}\n", row.name),
                Err(unset) => format!("# {}: {unset}\n", row.name),
            });
        }
        text
    }

    /// Returns one line per setting: its name, its value as TOML, and its origin.
    pub fn lines(&self) -> Vec<String> {
        let width = SETTINGS.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let line = |(row, shown): (&Row, Result<String, &str>)| {
            let origin = self.origin(row.name);
            let text = shown.unwrap_or_else(str::to_owned);
            format!("{:width$}  {text}  ({origin})", row.name)
        };
        self.shown().map(line).collect()
    }

    /// Returns the origin of a key's value: `file`, `--set`, `flag`, `program`, `adapter` or `default`. A
    /// default that depends on other settings includes its reason.
    pub fn origin(&self, key: &str) -> &str {
        self.origins.get(key).map_or("default", String::as_str)
    }

    /// Returns the settings that apply. Each has its value as TOML, or a text that says what happens
    /// without a value.
    fn shown(&self) -> impl Iterator<Item = (&Row, Result<String, &str>)> {
        let applies = |row: &&Row| matches!(row.scope(self), Scope::Applies);
        SETTINGS.iter().filter(applies).filter_map(|row| {
            let shown = (row.value)(self).ok_or(match row.fallback {
                Fallback::Words(unset, _) => unset,
                _ => "",
            });
            (shown != Err("")).then_some((row, shown))
        })
    }
}

impl PartialEq for TrainConfig {
    fn eq(&self, other: &Self) -> bool {
        // TOML keeps every digit of a value, so equal TOML means equal values.
        self.to_toml() == other.to_toml()
    }
}
