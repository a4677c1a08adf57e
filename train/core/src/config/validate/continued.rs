//! Going on from an adapter: what trains, and how, is the adapter's.

use std::path::Path;

use bone::rwkv_peft::Kind;
use bone::{AdapterConfig, Variant};

use super::Check;
use crate::config::Method;
use crate::config::value::{Layers, Setting};
use crate::config::words::{AxisWord, MethodName, Word};
use crate::models::adapter;

impl Check<'_> {
    /// The method of the adapter at `path`, with which the settings that are given must agree.
    pub(super) fn continued(&mut self, path: &Path) -> Method {
        let kind = self.raw.block_axis.map(AxisWord::kind);
        let opened = match (adapter::open(path, kind), self.raw.method) {
            // The settings of a run that went on from a file that does not say it.
            (Err(error), Some(MethodName::Miss)) if kind.is_none() => {
                adapter::open(path, Some(Kind::Miss)).map_err(|_| error)
            }
            (opened, _) => opened,
        };
        let saved = opened.and_then(|scan| Ok(scan.finish()?));
        let contents = match saved {
            Ok(saved) => saved.contents(),
            Err(error) => {
                self.on_disk("adapter", error.to_string());
                return Method::Full;
            }
        };
        match contents.adapter {
            Some(mut config) => {
                let name = Method::Adapter(config.clone()).name();
                self.must_agree("method", self.raw.method, MethodName::from_word(name).ok());
                self.adapter_must_agree(&config);
                if let Some(dropout) = self.raw.dropout {
                    config.dropout = dropout;
                    self.check_dropout(config.variant);
                }
                Method::Adapter(config)
            }
            None => {
                self.must_agree("method", self.raw.method, Some(MethodName::State));
                self.refuse_adapters(MethodName::State);
                Method::State
            }
        }
    }

    fn adapter_must_agree(&mut self, config: &AdapterConfig) {
        let raw = self.raw;
        let axis = match config.variant {
            Variant::Miss => Some(AxisWord::None),
            variant => variant.block_axis().map(AxisWord::from),
        };
        let width = config.variant.mini_width();
        let lora = config.variant.lora();
        self.must_agree::<AxisWord>("block_axis", raw.block_axis, axis);
        self.must_agree("rank", raw.rank, Some(config.rank));
        self.must_agree("mini_width", raw.mini_width, width);
        self.must_agree("alpha", raw.alpha, lora.map(|lora| lora.alpha));
        self.must_agree("rslora", raw.rslora, lora.map(|lora| lora.rslora));
        let targets = &config.targets;
        self.must_agree(
            "targets",
            raw.targets.clone(),
            Some(targets.modules.clone()),
        );
        self.must_agree("exclude", raw.exclude.clone(), targets.exclude.clone());
        let layers = targets.layers.clone().map(Layers);
        self.must_agree("layers", raw.layers.clone(), layers);
        let why = "means nothing with adapter, whose factors have their values; leave it out";
        self.refuse(&["pissa_iterations"], why);
    }

    fn must_agree<T: Setting>(&mut self, key: &str, given: Option<T>, own: Option<T>) {
        let Some(given) = given.map(|given| given.literal()) else {
            return;
        };
        match own.map(|own| own.literal()) {
            Some(own) if own == given => {}
            Some(own) => self.problem(
                key,
                format!("is {given}, and that of the adapter to go on from is {own}; leave it out"),
            ),
            None => self.problem(
                key,
                format!("is {given}, and the adapter to go on from has none; leave it out"),
            ),
        }
    }
}
