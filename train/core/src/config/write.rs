//! The settings as TOML and as a person reads them.

use super::settings::scope::Scope;
use super::settings::table::{Fallback, Row};
use super::{SETTINGS, TrainConfig};

impl TrainConfig {
    /// Returns the whole configuration as TOML, one key a line under a comment for every group.
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

    /// Returns one line a setting: its name, its value as TOML, and where it comes from.
    pub fn lines(&self) -> Vec<String> {
        let width = SETTINGS.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let line = |(row, shown): (&Row, Result<String, &str>)| {
            let origin = self.origin(row.name);
            let text = shown.unwrap_or_else(str::to_owned);
            format!("{:width$}  {text}  ({origin})", row.name)
        };
        self.shown().map(line).collect()
    }

    /// Returns where the value of a key comes from: `file`, `--set`, `flag`, `program`, `the adapter's`
    /// or `default`, with the reason for it where it depends on other settings.
    pub fn origin(&self, key: &str) -> &str {
        self.origins.get(key).map_or("default", String::as_str)
    }

    /// Returns the settings that mean something, each with its value as TOML, or in words what
    /// happens without one.
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
        // The TOML holds every value to its last digit.
        self.to_toml() == other.to_toml()
    }
}
