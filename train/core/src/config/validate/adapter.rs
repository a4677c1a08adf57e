//! Starting from an adapter: the adapter decides the method and its settings.

use std::path::Path;

use bone::rwkv_peft::Kind;

use super::Check;
use crate::config::words::{AxisWord, MethodName};
use crate::config::{RawConfig, SETTINGS};
use crate::models::adapter;

impl Check<'_> {
    /// Returns the settings of the adapter at `path`. The given settings must agree with them.
    pub(super) fn adapter(&mut self, path: &Path) -> Option<RawConfig> {
        let kind = self.raw.block_axis.map(AxisWord::kind);
        let opened = match (adapter::open(path, kind), self.raw.method) {
            // The settings may come from a run that started from a file that does not record its method.
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
        for row in SETTINGS.iter().filter(|row| row.name != "dropout") {
            let its = match ((row.given)(self.raw), (row.given)(&own)) {
                (Some(given), Some(its)) if given != its => {
                    format!("is {given}, but the adapter to continue from has {its}")
                }
                (Some(given), None) if ["exclude", "layers"].contains(&row.name) => {
                    format!("is {given}, but the adapter to continue from has none")
                }
                _ => continue,
            };
            self.problem(row.name, format!("{its}; remove it"));
        }
        Some(own)
    }
}
