use super::{BONE, BONE_INPUT, LORA, Layout, MISS, OWN, STATES, WITH_PARAMETERS};
use crate::saved::Naming;
use crate::{AdapterConfig, BlockAxis, LoraConfig, LoraStart, Selection, Targets, Variant};
use bone_files::wording::joined;
use serde_json::{Map, Value, json};

/// Keys that do not affect the adapter's computation.
const SILENT: [&str; 12] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
];
/// Keys that this reader reads.
const READ: [&str; 17] = [
    "bias",
    "bone_dropout",
    "exclude_modules",
    "init_lora_weights",
    "init_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "mini_r",
    "miss_dropout",
    "modules_to_save",
    "parameters_to_save",
    "peft_type",
    "r",
    "target_modules",
    "use_rslora",
];

/// Collects every problem of one file.
struct Reader {
    map: Map<String, Value>,
    problems: Vec<String>,
}

impl Reader {
    /// Returns a value that is present and not null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn count(&mut self, key: &str) -> Option<usize> {
        let value = self.get(key)?.clone();
        let count = value.as_u64().and_then(|n| usize::try_from(n).ok());
        if count.is_none_or(|n| n == 0) {
            self.problems.push(format!(
                "{key}: must be an integer of at least 1, not {value}"
            ));
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
                    "{key}: must be a list of names or a regular expression, not {other}"
                ));
                None
            }
        }
    }

    /// Returns a list of names; empty if the key is missing.
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
                    .push(format!("{key}: must be a list of names, not {other}"));
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
                "layers_to_transform: must be a list of layer numbers, not {value}"
            ));
        }
        layers
    }

    /// Refuses a setting unless its value is one of `allowed` or it is missing.
    fn refuse(&mut self, key: &str, allowed: &[Value]) {
        if let Some(value) = self.get(key)
            && !allowed.contains(value)
        {
            self.problems
                .push(format!("{key}: {value} is not supported"));
        }
    }

    /// Refuses settings that this reader does not know. A setting that is off has no effect; any
    /// other may change the adapter's meaning.
    fn refuse_the_rest(&mut self) {
        let is_off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let unknown = self.map.iter().filter(|(key, value)| {
            let key = key.as_str();
            !SILENT.contains(&key) && !READ.contains(&key) && !is_off(value)
        });
        let unknown = unknown.map(|(key, value)| format!("{key}: {value} is not supported"));
        let unknown: Vec<_> = unknown.collect();
        self.problems.extend(unknown);
    }

    /// Reads the full parameters, which a folder of PEFT's own type cannot have.
    fn parameters(&mut self, with_parameters: Option<bool>) -> Vec<String> {
        let names = self.names("parameters_to_save");
        match (with_parameters, names.is_empty()) {
            (Some(false), false) => self.problems.push(format!(
                "parameters_to_save: PEFT ignores it with this peft_type; use a peft_type that ends in \
                 {WITH_PARAMETERS}"
            )),
            (Some(true), true) => self
                .problems
                .push("parameters_to_save: missing or empty".into()),
            _ => {}
        }
        names
    }

    /// Returns the type, and whether it includes single parameters; `None` if this does not matter.
    fn kind(&mut self) -> Option<(&'static str, Option<bool>)> {
        let kind = self.get("peft_type").cloned().unwrap_or(Value::Null);
        let text = kind.as_str().unwrap_or_default();
        let (plain, more) = match text.strip_suffix(WITH_PARAMETERS) {
            Some(plain) => (plain, true),
            None => (text, false),
        };
        let found = [MISS, BONE, LORA].into_iter().find(|known| *known == plain);
        let own = OWN.into_iter().find(|own| *own == text);
        match (found, own) {
            (Some(known), _) => Some((known, Some(more))),
            (None, Some(own)) => Some((own, None)),
            (None, None) => {
                self.problems.push(format!(
                    "peft_type: {kind} is not supported; supported: {MISS}, {BONE} and {LORA} (each also \
                     with the suffix {WITH_PARAMETERS}), {} and {STATES}",
                    OWN.join(", ")
                ));
                None
            }
        }
    }

    /// Returns the variant and the names of its tensors.
    fn variant(&mut self, kind: &str) -> Option<(Variant, Naming)> {
        let naming = match kind {
            LORA => return self.lora().map(|lora| (Variant::Lora(lora), Naming::LORA)),
            BONE => Naming::BONE,
            BONE_INPUT => Naming::BONE_INPUT,
            _ => Naming::MISS,
        };
        let init = self.get("init_weights").cloned().unwrap_or(json!(true));
        let variant = match (kind, &init) {
            (BONE_INPUT, Value::Bool(_)) => Variant::Bone(BlockAxis::Input),
            (MISS | BONE, Value::Bool(_)) => Variant::Miss,
            (MISS | BONE, Value::String(bat)) if bat == "bat" => Variant::Bone(BlockAxis::Output),
            (MISS, Value::String(mini)) if mini == "mini" => {
                let width = self.count("mini_r");
                if width.is_none() && self.get("mini_r").is_none() {
                    self.problems.push("mini_r: missing".into());
                }
                Variant::MissMini { width: width? }
            }
            (_, other) => {
                let known = match kind {
                    MISS => "true, \"bat\" or \"mini\"",
                    BONE => "true or \"bat\"",
                    _ => "true",
                };
                self.problems
                    .push(format!("init_weights: must be {known}, not {other}"));
                return None;
            }
        };
        Some((variant, naming))
    }

    fn lora(&mut self) -> Option<LoraConfig> {
        let alpha = match self.get("lora_alpha") {
            // PEFT's default.
            None => Some(8.0),
            Some(value) => value.as_f64().filter(|alpha| *alpha > 0.0),
        };
        if alpha.is_none() {
            self.problems
                .push("lora_alpha: must be a number greater than 0".into());
        }
        let rslora = match self.get("use_rslora") {
            None => Some(false),
            Some(value) => value.as_bool(),
        };
        if rslora.is_none() {
            self.problems
                .push("use_rslora: must be true or false".into());
        }
        let start = self.lora_start();
        Some(LoraConfig {
            alpha: alpha?,
            rslora: rslora?,
            start: start?,
        })
    }

    /// Returns which weights the factors belong to: the base's, or the residual of an
    /// initialisation.
    fn lora_start(&mut self) -> Option<LoraStart> {
        let init = self.get("init_lora_weights").cloned();
        let init = init.unwrap_or(json!(true));
        match &init {
            Value::Bool(_) => return Some(LoraStart::Random),
            // These leave the weights unchanged.
            Value::String(word) if ["gaussian", "orthogonal", "eva"].contains(&word.as_str()) => {
                return Some(LoraStart::Random);
            }
            // These leave a residual that can be computed again.
            Value::String(word) if ["pissa", "olora"].contains(&word.as_str()) => {
                return word.parse().ok();
            }
            _ => {}
        }
        self.problems.push(format!(
            "init_lora_weights: {init} changes the base weights, which cannot be reproduced from \
             the model; save the adapter with PEFT's path_initial_model_for_weight_conversion, \
             which converts it to the original base"
        ));
        None
    }

    /// Returns the dropout of the variants that support it.
    fn dropout(&mut self, kind: &str) -> f64 {
        let key = match kind {
            LORA => "lora_dropout",
            BONE => "bone_dropout",
            _ => "miss_dropout",
        };
        let dropout = match self.get(key) {
            None => 0.0,
            Some(value) => value.as_f64().unwrap_or(f64::NAN),
        };
        if !(0.0..1.0).contains(&dropout) {
            self.problems.push(format!(
                "{key}: must be a number of at least 0 and less than 1"
            ));
        }
        dropout
    }
}

/// Reads the configuration.
///
/// # Errors
///
/// Lists every field that is missing, malformed or not supported.
pub(in crate::peft) fn from_json(text: &str) -> Result<Layout, String> {
    let map = bone_files::json_object(text.as_bytes())?;
    let mut reader = Reader {
        map,
        problems: Vec::new(),
    };
    if reader.get("peft_type").and_then(Value::as_str) == Some(STATES) {
        return Ok(Layout::States);
    }
    let (kind, with_parameters) = reader.kind().unzip();
    let variant = kind.and_then(|kind| reader.variant(kind));
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
    let dropout = reader.dropout(kind.unwrap_or_default());
    reader.refuse("bias", &[json!("none")]);
    // Names of block lists; the number after them is the first in a path.
    let lists = ["layers", "blocks"].map(|list| [json!(list), json!([list])]);
    reader.refuse(
        "layers_pattern",
        &[&[json!([])], lists.as_flattened()].concat(),
    );
    reader.refuse_the_rest();
    let modules = reader.names("modules_to_save");
    let parameters = reader.parameters(with_parameters.flatten());
    match (variant, rank, targeted, reader.problems.is_empty()) {
        (Some((variant, naming)), Some(rank), Some(targeted), true) => Ok(Layout::Adapter {
            config: AdapterConfig {
                variant,
                rank,
                // PEFT stores the number for bat too, and ignores it.
                dropout: match variant.has_dropout() {
                    true => dropout,
                    false => 0.0,
                },
                seed: 0,
                targets: Targets {
                    modules: targeted,
                    exclude,
                    layers,
                },
            },
            naming,
            modules,
            parameters,
        }),
        _ => Err(joined(reader.problems, "; ")),
    }
}
