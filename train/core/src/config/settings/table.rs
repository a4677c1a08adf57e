//! What the table of settings is made into: the settings as given, the settings as they hold, and
//! the rows that everything else goes through.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::Scope;
use super::{RawConfig, TrainConfig};
use crate::config::Problem;
use toml::Value;

/// A row of the table.
pub struct Row {
    /// The key in a file.
    pub name: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// What stands for its value in the help.
    pub value_name: &'static str,
    /// What other trainers call it.
    pub(in crate::config) aliases: &'static [&'static str],
    pub(in crate::config) doc: &'static str,
    pub(in crate::config) fallback: Fallback,
    pub(in crate::config) scopes: &'static [fn(&TrainConfig) -> Scope],
    /// Takes what was written, in place of any before.
    pub(in crate::config) read: fn(&mut RawConfig, &Value) -> Result<(), String>,
    /// Returns what was given, as TOML.
    pub(in crate::config) given: fn(&RawConfig) -> Option<String>,
    /// Says what is wrong with the value alone.
    pub(in crate::config) check: fn(&RawConfig) -> Result<(), String>,
    /// Takes the value of another's.
    pub(in crate::config) copy: fn(&mut RawConfig, &RawConfig),
    /// Returns the value that holds, as TOML.
    pub(in crate::config) value: fn(&TrainConfig) -> Option<String>,
}

/// What holds where a setting is not given.
pub(in crate::config) enum Fallback {
    /// A value, as TOML.
    Value(fn() -> String),
    /// What is shown where there is no value, and what the help says.
    Words(&'static str, &'static str),
    /// Nothing: what to give.
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

    /// Returns whether the flag alone means true.
    pub fn is_switch(&self) -> bool {
        self.value_name.starts_with('[')
    }

    /// Returns the help, a line with the default, and what there is to say beyond it.
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

/// Where the values of some settings come from, in words.
pub(in crate::config) type Origins = BTreeMap<&'static str, String>;

/// What reading leaves beside the values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Where each value comes from, in a word, and how a person wrote that: `run.toml: rank`. A
    /// value without an entry comes from the program.
    pub(in crate::config) places: BTreeMap<&'static str, (&'static str, String)>,
    /// Keys whose value could not be read: what they lack is no second problem.
    pub(in crate::config) unread: BTreeSet<&'static str>,
    /// What could not be read, and why.
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
        /// The settings as they were given: nothing is checked against anything else, nothing is
        /// filled in. See [`validate`](RawConfig::validate).
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct RawConfig {
            $($($(#[doc = $doc])+ pub $name: Option<$type>,)+)+
            #[doc(hidden)]
            pub record: $crate::config::settings::table::Record,
        }

        /// Settings that have been checked, with every default filled.
        ///
        /// [`resolve`](super::resolve) makes one from what a person gave and
        /// [`RawConfig::validate`] from code.
        /// Two are equal when their values are; where the values came from does not count.
        #[derive(Debug, Clone)]
        pub struct TrainConfig {
            $($($(#[doc = $doc])+ pub $name: $crate::config::settings::table::held!($kind $type),)+)+
            pub(in crate::config) origins: $crate::config::settings::table::Origins,
        }

        impl RawConfig {
            /// Returns the settings as they hold, the defaults filled in, unchecked.
            pub(in crate::config) fn filled(&self) -> TrainConfig {
                let mut origins = self.origins();
                TrainConfig {
                    $($($name: $crate::config::settings::table::fill!(self, origins, $name, $kind($($fallback)*)),)+)+
                    origins,
                }
            }
        }

        /// Every setting, in the order in which they are shown.
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

/// The type of a setting that holds.
macro_rules! held {
    (unset $type:ty) => { Option<$type> };
    ($kind:ident $type:ty) => { $type };
}

/// The value of a setting that holds.
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
