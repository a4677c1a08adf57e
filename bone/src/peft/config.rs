//! `adapter_config.json`.

use crate::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use serde_json::{Map, Value, json};

/// Adapters and values beside them that PEFT's configuration has no place for and would ignore.
const WITH_PARAMETERS: &str = "MISS_WITH_PARAMETERS";
/// Initial states of RWKV.
const STATES: &str = "RWKV_STATE";

/// What a folder's configuration says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layout {
    /// Adapters, and beside them parameters held whole.
    Adapter {
        config: AdapterConfig,
        /// Modules all of whose parameters are in the file: PEFT's `modules_to_save`, each the
        /// end of a module's path.
        modules: Vec<String>,
        /// Single parameters in the file: `parameters_to_save`, which PEFT does not have.
        parameters: Vec<String>,
    },
    /// The initial state of every block, and nothing else.
    States,
}

fn selection_json(selection: &Selection) -> Value {
    match selection {
        Selection::AllLinear => json!("all-linear"),
        Selection::Names(names) => json!(names),
        Selection::Regex(pattern) => json!(pattern),
    }
}

/// The configuration as PEFT writes it.
pub(super) fn to_json(layout: &Layout, base_model: Option<&str>) -> String {
    let value = match layout {
        Layout::Adapter {
            config,
            modules,
            parameters,
        } => adapter_json(config, modules, parameters, base_model),
        Layout::States => json!({
            "base_model_name_or_path": base_model,
            "peft_type": STATES,
            "task_type": "CAUSAL_LM",
        }),
    };
    format!("{value:#}\n")
}

fn adapter_json(
    config: &AdapterConfig,
    modules: &[String],
    parameters: &[String],
    base_model: Option<&str>,
) -> Value {
    let (peft_type, init_weights, mini_r) = match config.variant {
        Variant::Bone(BlockAxis::Output) => ("MISS", json!("bat"), 1),
        Variant::Bone(BlockAxis::Input) => ("BONE_INPUT", json!(true), 1),
        Variant::Miss => ("MISS", json!(true), 1),
        Variant::MissMini { width } => ("MISS", json!("mini"), width),
    };
    let mut value = json!({
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "exclude_modules": config.targets.exclude.as_ref().map(selection_json),
        "inference_mode": true,
        "init_weights": init_weights,
        "layers_pattern": null,
        "layers_to_transform": config.targets.layers,
        "mini_r": mini_r,
        "miss_dropout": config.dropout,
        "modules_to_save": (!modules.is_empty()).then_some(modules),
        "peft_type": peft_type,
        "r": config.rank,
        "revision": null,
        "target_modules": selection_json(&config.targets.modules),
        "task_type": "CAUSAL_LM",
    });
    if !parameters.is_empty() {
        value["parameters_to_save"] = json!(parameters);
        if peft_type == "MISS" {
            // So that PEFT raises instead of loading the rest alone.
            value["peft_type"] = json!(WITH_PARAMETERS);
        }
    }
    value
}

/// Collects every problem of one file.
struct Reader {
    map: Map<String, Value>,
    problems: Vec<String>,
}

impl Reader {
    /// A value that is there and not null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn count(&mut self, key: &str) -> Option<usize> {
        let value = self.get(key)?.clone();
        let count = value.as_u64().and_then(|n| usize::try_from(n).ok());
        if count.is_none_or(|n| n == 0) {
            self.problems
                .push(format!("{key}: {value} is not a whole number above 0"));
            return None;
        }
        count
    }

    fn selection(&mut self, key: &str) -> Option<Selection> {
        match self.get(key)?.clone() {
            Value::String(all) if all == "all-linear" => Some(Selection::AllLinear),
            Value::String(pattern) => Some(Selection::Regex(pattern)),
            Value::Array(names) if names.iter().all(Value::is_string) => {
                Some(Selection::names(names.iter().filter_map(Value::as_str)))
            }
            other => {
                self.problems.push(format!(
                    "{key}: {other} is neither a list of names nor an expression"
                ));
                None
            }
        }
    }

    /// A list of names; none where the key is missing.
    fn names(&mut self, key: &str) -> Vec<String> {
        match self.get(key).cloned() {
            None => Vec::new(),
            Some(Value::Array(names))
                if names
                    .iter()
                    .all(|n| n.as_str().is_some_and(|n| !n.is_empty())) =>
            {
                let names = names.iter().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            }
            Some(other) => {
                self.problems
                    .push(format!("{key}: {other} is not a list of names"));
                Vec::new()
            }
        }
    }

    fn layers(&mut self) -> Option<Vec<usize>> {
        let value = self.get("layers_to_transform")?.clone();
        let list = match &value {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        let layers: Option<Vec<_>> = list
            .iter()
            .map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()))
            .collect();
        if layers.is_none() {
            self.problems.push(format!(
                "layers_to_transform: {value} is not a list of layer numbers"
            ));
        }
        layers
    }

    /// A setting whose only value we can honour is `allowed` (or none at all).
    fn refuse(&mut self, key: &str, allowed: &[Value]) {
        if let Some(value) = self.get(key)
            && !allowed.contains(value)
        {
            self.problems
                .push(format!("{key}: {value} is not supported"));
        }
    }

    /// The parameters held whole, which a folder that says it is PEFT's own cannot have.
    fn parameters(&mut self) -> Vec<String> {
        let names = self.names("parameters_to_save");
        let kind = self.get("peft_type").and_then(Value::as_str);
        match (kind, names.is_empty()) {
            (Some("MISS"), false) => self.problems.push(format!(
                "parameters_to_save: PEFT would ignore it with peft_type MISS; {WITH_PARAMETERS} is the type that has it"
            )),
            (Some(WITH_PARAMETERS), true) => self
                .problems
                .push("parameters_to_save: missing or empty".into()),
            _ => {}
        }
        names
    }

    fn variant(&mut self) -> Option<Variant> {
        let kind = self.get("peft_type").cloned().unwrap_or(Value::Null);
        let init = self.get("init_weights").cloned().unwrap_or(json!(true));
        match (kind.as_str(), &init) {
            (Some("BONE_INPUT"), Value::Bool(_)) => Some(Variant::Bone(BlockAxis::Input)),
            (Some("MISS" | WITH_PARAMETERS), Value::Bool(_)) => Some(Variant::Miss),
            (Some("MISS" | WITH_PARAMETERS), Value::String(bat)) if bat == "bat" => {
                Some(Variant::Bone(BlockAxis::Output))
            }
            (Some("MISS" | WITH_PARAMETERS), Value::String(mini)) if mini == "mini" => self
                .count("mini_r")
                .or_else(|| {
                    self.problems.push("mini_r: missing".into());
                    None
                })
                .map(|width| Variant::MissMini { width }),
            (Some("MISS" | WITH_PARAMETERS | "BONE_INPUT"), other) => {
                self.problems.push(format!(
                    "init_weights: {other} is not true, \"bat\" or \"mini\""
                ));
                None
            }
            _ => {
                self.problems.push(format!(
                    "peft_type: {kind} is not supported; MISS, {WITH_PARAMETERS}, BONE_INPUT and {STATES} are"
                ));
                None
            }
        }
    }
}

/// Reads the configuration.
///
/// # Errors
///
/// Every field that is missing, malformed or asks for something not supported.
pub(super) fn from_json(text: &str) -> Result<Layout, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(map) = value else {
        return Err("not a JSON object".into());
    };
    let mut reader = Reader {
        map,
        problems: Vec::new(),
    };
    if reader.get("peft_type").and_then(Value::as_str) == Some(STATES) {
        return Ok(Layout::States);
    }
    let variant = reader.variant();
    let rank = reader.count("r");
    if reader.get("r").is_none() {
        reader.problems.push("r: missing".into());
    }
    let targeted = reader.selection("target_modules");
    if reader.get("target_modules").is_none() {
        reader.problems.push("target_modules: missing".into());
    }
    let exclude = reader.selection("exclude_modules");
    let layers = reader.layers();
    let dropout = match reader.get("miss_dropout") {
        None => 0.0,
        Some(value) => value.as_f64().unwrap_or(f64::NAN),
    };
    if !(0.0..1.0).contains(&dropout) {
        reader
            .problems
            .push("miss_dropout: not a number from 0 to below 1".into());
    }
    reader.refuse("bias", &[json!("none")]);
    reader.refuse("layers_pattern", &[json!([])]);
    let modules_to_save = reader.names("modules_to_save");
    let parameters = reader.parameters();
    match (variant, rank, targeted, reader.problems.is_empty()) {
        (Some(variant), Some(rank), Some(targeted), true) => Ok(Layout::Adapter {
            config: AdapterConfig {
                variant,
                rank,
                // PEFT keeps the number for bat too, and does nothing with it.
                dropout: match variant {
                    Variant::Bone(_) => 0.0,
                    Variant::Miss | Variant::MissMini { .. } => dropout,
                },
                targets: Targets {
                    modules: targeted,
                    exclude,
                    layers,
                },
            },
            modules: modules_to_save,
            parameters,
        }),
        _ => Err(reader.problems.join("; ")),
    }
}

#[cfg(test)]
mod tests;
