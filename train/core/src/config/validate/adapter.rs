//! Going on from an adapter: what trains, and how, is the adapter's.

use std::path::Path;

use bone::bare::Kind;

use super::Check;
use crate::config::words::{AxisWord, MethodName};
use crate::config::{RawConfig, SETTINGS};
use crate::models::adapter;

/// What an adapter says of itself, so that it must be the same where it is given.
const OWN: [&str; 10] = [
    "method",
    "block_axis",
    "rank",
    "mini_width",
    "alpha",
    "rslora",
    "pissa_iterations",
    "targets",
    "exclude",
    "layers",
];

impl Check<'_> {
    /// Returns the settings of the adapter at `path`, with which those that are given must agree.
    pub(super) fn adapter(&mut self, path: &Path) -> Option<RawConfig> {
        let kind = self.raw.block_axis.map(AxisWord::kind);
        let opened = match (adapter::open(path, kind), self.raw.method) {
            // The settings of a run that went on from a file that does not say it.
            (Err(error), Some(MethodName::Miss)) if kind.is_none() => {
                adapter::open(path, Some(Kind::Miss)).map_err(|_| error)
            }
            (opened, _) => opened,
        };
        let own = match opened.and_then(|scan| Ok(scan.finish()?)) {
            Ok(saved) => RawConfig::of_adapter(saved.contents().adapter),
            Err(error) => {
                self.on_disk("adapter", error.to_string());
                return None;
            }
        };
        for row in SETTINGS.iter().filter(|row| OWN.contains(&row.name)) {
            let Some(given) = (row.given)(self.raw) else {
                continue;
            };
            let its = match (row.given)(&own) {
                Some(same) if same == given => continue,
                Some(its) => format!("that of the adapter to go on from is {its}"),
                None => "the adapter to go on from has none".to_owned(),
            };
            self.problem(row.name, format!("is {given}, and {its}; leave it out"));
        }
        Some(own)
    }
}
