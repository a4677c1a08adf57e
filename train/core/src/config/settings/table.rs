//! Types generated from the table of settings: the given settings, the resolved settings, and the table's
//! rows, which all other code uses.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::Scope;
use super::{RawConfig, TrainConfig};
use crate::config::Problem;
use toml::Value;

/// A row of the table.
pub struct Row {
    /// The key in a TOML file.
    pub name: &'static str,
    /// The heading of its group.
    pub group: &'static str,
    /// Placeholder for its value in the help.
    pub value_name: &'static str,
    /// Names in other trainers, which a file may use too.
    pub aliases: &'static [&'static str],
    pub(in crate::config) doc: &'static str,
    pub(in crate::config) fallback: Fallback,
    pub(in crate::config) scopes: &'static [fn(&TrainConfig) -> Scope],
    /// Reads a value and replaces an earlier one.
    pub(in crate::config) read: fn(&mut RawConfig, &Value) -> Result<(), String>,
    /// Returns the given value as TOML.
    pub(in crate::config) given: fn(&RawConfig) -> Option<String>,
    /// Checks the value by itself. Returns what is wrong.
    pub(in crate::config) check: fn(&RawConfig) -> Result<(), String>,
    /// Copies the value from another configuration.
    pub(in crate::config) copy: fn(&mut RawConfig, &RawConfig),
    /// Returns the resolved value as TOML.
    pub(in crate::config) value: fn(&TrainConfig) -> Option<String>,
}

/// The value of a setting that is not given.
pub(in crate::config) enum Fallback {
    /// A default value, as TOML.
    Value(fn() -> String),
    /// No value: the text shown in place of the value, and the text for the help.
    Words(&'static str, &'static str),
    /// No default: the text says what to give.
    Required(&'static str),
}

impl Row {
    pub(in crate::config) fn is_given(&self, raw: &RawConfig) -> bool {
        (self.given)(raw).is_some()
    }

    pub(in crate::config) fn scope(&self, config: &TrainConfig) -> Scope {
        let scope = self.scopes.first();
        scope.map_or(Scope::Applies, |scope| scope(config))
    }

    /// Returns the flag without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Returns whether the flag without a value means true.
    pub fn is_switch(&self) -> bool {
        self.value_name.starts_with('[')
    }

    /// Returns the help: one line with the default, and an optional longer text.
    pub fn help(&self) -> (String, Option<String>) {
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (first, more) = self.doc.split_once("\n\n").unwrap_or((self.doc, ""));
        let default = match self.fallback {
            Fallback::Value(literal) => {
                let literal = literal();
                let plain = literal.trim_matches('"');
                plain.strip_suffix(".0").unwrap_or(plain).to_owned()
            }
            Fallback::Words(_, help) => help.to_owned(),
            Fallback::Required(_) => String::new(),
        };
        let first = if default.is_empty() {
            line(first)
        } else {
            format!("{} [default: {default}]", line(first))
        };
        (first, Some(line(more)).filter(|more| !more.is_empty()))
    }
}

/// Origins of settings as text, by key.
pub(in crate::config) type Origins = BTreeMap<&'static str, String>;

/// Facts from reading, beside the values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// The origin of each value in one word, and where the user gave it: `run.toml: rank`. A value without
    /// an entry comes from the calling program.
    pub(in crate::config) places: BTreeMap<&'static str, (&'static str, String)>,
    /// Keys with unreadable values. They are not reported again as missing.
    pub(in crate::config) unread: BTreeSet<&'static str>,
    /// Settings that could not be read, with the reasons.
    pub(in crate::config) problems: Vec<Problem>,
}

macro_rules! settings {
    ($($group:literal {
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $type:ty as $value:literal, $kind:ident($($fallback:tt)*)
            $(, range($range:expr))? $(, only($scope:path))? $(, also($($alias:literal),+))?;
        )+
    })+) => {
        /// The settings as given: not checked against each other, no defaults filled in. See
        /// [`validate`](RawConfig::validate).
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct RawConfig {
            $($($(#[doc = $doc])+ pub $name: Option<$type>,)+)+
            #[doc(hidden)]
            pub record: $crate::config::settings::table::Record,
        }

        /// Validated settings with every default filled in.
        ///
        /// [`resolve`](super::resolve) makes them from the user's input, [`RawConfig::validate`] from code.
        /// Two configurations are equal if their values are equal, whatever their origins.
        #[derive(Debug, Clone)]
        pub struct TrainConfig {
            $($($(#[doc = $doc])+ pub $name: $crate::config::settings::table::held!($kind $type),)+)+
            pub(in crate::config) origins: $crate::config::settings::table::Origins,
        }

        impl RawConfig {
            /// Returns the settings with defaults filled in, not yet validated.
            pub(in crate::config) fn filled(&self) -> TrainConfig {
                let mut origins = self.origins();
                TrainConfig {
                    $($($name: $crate::config::settings::table::fill!(self, origins, $name, $kind($($fallback)*)),)+)+
                    origins,
                }
            }
        }

        /// Every setting, in display order.
        pub static SETTINGS: &[$crate::config::settings::table::Row] = &[$($($crate::config::settings::table::Row {
            name: stringify!($name),
            group: $group,
            value_name: $value,
            aliases: &[$($($alias),+)?],
            doc: concat!($($doc, "\n"),+),
            fallback: $crate::config::settings::table::fallback!($type, $kind($($fallback)*)),
            scopes: &[$($scope)?],
            read: |raw, value| {
                raw.$name = Some($crate::config::value::read(value)?);
                Ok(())
            },
            given: |raw| raw.$name.as_ref().map($crate::config::value::Setting::literal),
            check: |raw| {
                let Some(value) = &raw.$name else { return Ok(()) };
                $(($range)(value)?;)?
                $crate::config::value::Setting::check(value)
            },
            copy: |raw, from| raw.$name.clone_from(&from.$name),
            value: |config| {
                let value = Option::<$type>::from(config.$name.clone());
                value.as_ref().map($crate::config::value::Setting::literal)
            },
        },)+)+];
    };
}

/// The type of a resolved setting.
macro_rules! held {
    (unset $type:ty) => { Option<$type> };
    ($kind:ident $type:ty) => { $type };
}

/// The value of a resolved setting.
macro_rules! fill {
    ($raw:ident, $origins:ident, $name:ident, unset($($words:literal),*)) => {
        $raw.$name.clone()
    };
    ($raw:ident, $origins:ident, $name:ident, by($default:path, $words:literal)) => {
        $raw.$name.clone().unwrap_or_else(|| {
            let (value, reason) = $default($raw);
            $origins.insert(stringify!($name), format!("default: {reason}"));
            value
        })
    };
    ($raw:ident, $origins:ident, $name:ident, $kind:ident($value:expr $(, $fix:expr)?)) => {
        $raw.$name.clone().unwrap_or_else(|| $value)
    };
}

macro_rules! fallback {
    ($type:ty, default($value:expr)) => {
        $crate::config::settings::table::Fallback::Value(|| {
            <$type as $crate::config::value::Setting>::literal(&$value)
        })
    };
    ($type:ty, required($placeholder:expr, $fix:expr)) => {
        $crate::config::settings::table::Fallback::Required($fix)
    };
    ($type:ty, by($default:path, $words:literal)) => {
        $crate::config::settings::table::Fallback::Words("", $words)
    };
    ($type:ty, unset($words:literal)) => {
        $crate::config::settings::table::Fallback::Words($words, $words)
    };
    ($type:ty, unset($words:literal, $help:literal)) => {
        $crate::config::settings::table::Fallback::Words($words, $help)
    };
}

pub(super) use {fallback, fill, held, settings};
