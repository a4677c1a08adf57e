//! The settings as TOML and as a person reads them.

use std::fmt;

use bone::{AdapterConfig, LoraStart, SvdMethod, Variant};

use super::settings::{KEYS, Origin};
use super::validate::{block_axis_reason, comes_with_adapter, default_learning_rate};
use super::value::{Layers, Parts, Setting};
use super::words::AxisWord;
use super::{Method, TrainConfig, Warmup};
use bone_data::{Kind, Schema};

/// What stands behind a key.
enum Shown {
    /// A value as TOML.
    Value(String),
    /// No value: what happens without one.
    Unset(&'static str),
    /// The key means nothing beside the other settings.
    Meaningless,
}

fn or<T: Setting>(value: &Option<T>, unset: &'static str) -> Shown {
    value
        .as_ref()
        .map_or(Shown::Unset(unset), |value| Shown::Value(value.literal()))
}

fn value<T: Setting>(value: &T) -> Shown {
    Shown::Value(value.literal())
}

fn when<T: Setting>(known: bool, value: &T) -> Shown {
    if known {
        Shown::Value(value.literal())
    } else {
        Shown::Meaningless
    }
}

fn meant<T: Setting>(value: Option<T>) -> Shown {
    value.map_or(Shown::Meaningless, |value| Shown::Value(value.literal()))
}

impl TrainConfig {
    /// The whole configuration as TOML, one key a line under a comment for every group.
    /// [`resolve`](super::resolve) reads it as the same configuration.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# A run of `bone train`, with every default filled in.\n");
        let mut heading = "";
        for key in KEYS {
            let line = match self.shown(key.name) {
                Shown::Value(literal) => format!("{} = {literal}\n", key.name),
                Shown::Unset(note) => format!("# {}: {note}\n", key.name),
                Shown::Meaningless => continue,
            };
            if heading != key.heading {
                heading = key.heading;
                text.push_str(&format!("\n# {heading}\n"));
            }
            text.push_str(&line);
        }
        text
    }

    /// One line a setting: its name, its value as TOML, and where it comes from: `default`,
    /// `file`, `--set`, `flag` or `program`.
    pub fn lines(&self) -> Vec<String> {
        let width = KEYS.iter().map(|key| key.name.len()).max().unwrap_or(0);
        KEYS.iter()
            .filter_map(|key| {
                let name = key.name;
                let origin = self.origin(name);
                let reason = match (name, origin) {
                    ("learning_rate", Origin::Default) => {
                        format!(": {}", default_learning_rate(&self.method).1)
                    }
                    ("block_axis", Origin::Default) if self.adapter.is_none() => match &self.method
                    {
                        Method::Adapter(AdapterConfig {
                            variant: Variant::Bone(axis),
                            ..
                        }) => format!(": {}", block_axis_reason(*axis)),
                        _ => String::new(),
                    },
                    _ => String::new(),
                };
                let origin = match (origin, &self.adapter) {
                    (Origin::Default, Some(_)) if comes_with_adapter(name) => "the adapter's",
                    _ => origin.name(),
                };
                match self.shown(name) {
                    Shown::Value(literal) => {
                        Some(format!("{name:width$}  {literal}  ({origin}{reason})"))
                    }
                    Shown::Unset(note) => Some(format!("{name:width$}  {note}  (default)")),
                    Shown::Meaningless => None,
                }
            })
            .collect()
    }

    fn shown(&self, key: &str) -> Shown {
        let schema_is_own = self
            .schema
            .as_ref()
            .is_some_and(|schema| schema.name().is_none());
        match key {
            "model" => value(&self.model),
            "data" => value(&self.data),
            "out" => value(&self.out),
            "overwrite" => value(&self.overwrite),
            "init" => value(&self.init),
            "tokenizer" => value(&self.tokenizer),
            "template" | "schema" | "field_map" if !self.data.any(Kind::Rows) => Shown::Meaningless,
            "template" => value(&self.template.to_string()),
            "schema" | "field_map" => match &self.schema {
                None if key == "schema" => Shown::Unset("found from the rows"),
                Some(Schema::Fields(fields)) if schema_is_own => when(key == "field_map", fields),
                Some(schema) if !schema_is_own => when(key == "schema", schema),
                _ => Shown::Meaningless,
            },
            "binidx_cut" => when(self.data.any(Kind::Binidx), &self.binidx_cut),
            "max_seq_len" => value(&self.max_seq_len),
            "chunk_ctx" => or(&self.chunk_ctx, "whole sequences"),
            "packing" => value(&self.packing),
            "validation" => value(&self.validation),
            "epochs" => or(&self.epochs, "as many as max_steps takes"),
            "max_steps" => or(&self.max_steps, "as many as epochs takes"),
            "batch_size" => value(&self.batch_size),
            "gradient_accumulation" => value(&self.gradient_accumulation),
            "learning_rate" => value(&self.learning_rate),
            "schedule" => value(&self.schedule),
            "warmup_steps" => match &self.warmup {
                Warmup::Steps(steps) => value(steps),
                Warmup::Ratio(_) => Shown::Meaningless,
            },
            "warmup_ratio" => match &self.warmup {
                Warmup::Steps(_) => Shown::Meaningless,
                Warmup::Ratio(ratio) => value(ratio),
            },
            "beta1" => value(&self.beta1),
            "beta2" => value(&self.beta2),
            "eps" => value(&self.eps),
            "weight_decay" => value(&self.weight_decay),
            "max_grad_norm" => value(&self.max_grad_norm),
            "seed" => value(&self.seed),
            "eval_every" if self.validation == bone_data::Holdout::Count(0) => Shown::Meaningless,
            "eval_every" => or(&self.eval_every, "a tenth of the run"),
            "save_every" => or(&self.save_every, "none"),
            "save_minutes" => value(&self.save_minutes),
            "keep_last" => value(&self.keep_last),
            "keep_best" => value(&self.keep_best),
            "shake_down" => or(&self.shake_down, "true, on an emulated device false"),
            "device" => value(&self.device),
            "dtype" => value(&self.dtype),
            "fusion" => value(&self.fusion),
            "recompute" => value(&self.recompute),
            "chunked_head" => value(&self.chunked_head),
            "head_chunk" if !self.chunked_head => Shown::Meaningless,
            "head_chunk" => or(&self.head_chunk, "what 64 MiB of logits hold, at least 512"),
            _ => self.shown_of_method(key),
        }
    }

    fn shown_of_method(&self, key: &str) -> Shown {
        if key == "adapter" {
            return match &self.adapter {
                Some(path) => value(path),
                None if self.method == Method::Full => Shown::Meaningless,
                None => Shown::Unset("none; what trains starts anew"),
            };
        }
        let Method::Adapter(adapter) = &self.method else {
            return match key {
                "method" => value(&self.method.name().to_owned()),
                _ => Shown::Meaningless,
            };
        };
        let lora = adapter.variant.lora();
        match key {
            "method" => value(&self.method.name().to_owned()),
            "block_axis" => meant(adapter.variant.block_axis().map(AxisWord::from)),
            "rank" => value(&adapter.rank),
            "mini_width" => meant(adapter.variant.mini_width()),
            "alpha" => meant(lora.map(|lora| lora.alpha)),
            "rslora" => meant(lora.map(|lora| lora.rslora)),
            "lora_plus_ratio" => when(lora.is_some(), &self.lora_plus_ratio),
            "pissa_iterations" => match lora.map(|lora| lora.start) {
                Some(LoraStart::Pissa(method)) => match method {
                    SvdMethod::Exact => Shown::Unset("an exact decomposition"),
                    SvdMethod::Fast { iterations } => value(&iterations),
                },
                _ => Shown::Meaningless,
            },
            "dropout" => when(adapter.variant.has_dropout(), &adapter.dropout),
            "targets" => value(&adapter.targets.modules),
            "exclude" => or(&adapter.targets.exclude, "none"),
            "layers" => or(&adapter.targets.layers.clone().map(Layers), "all"),
            "train_parts" if self.train_parts.is_empty() => Shown::Unset("none"),
            "train_parts" => value(&Parts(self.train_parts.clone())),
            _ => Shown::Meaningless,
        }
    }
}

impl fmt::Display for TrainConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}
