use super::{BONE_INPUT, LORA, MISS, STATES, Selection, WITH_PARAMETERS};
use crate::saved::{Naming, SavedAdapter, lies_in};
use crate::{AdapterConfig, BlockAxis, LoraConfig, Targets, Variant};
use serde_json::{Map, Value, json};

fn selection_json(selection: &Selection) -> Value {
    match selection {
        Selection::AllLinear => json!("all-linear"),
        Selection::Names(names) => json!(names),
        Selection::Regex(pattern) => json!(pattern),
    }
}

/// Returns the full parameters that do not make up a whole module.
fn parameters(saved: &SavedAdapter) -> Vec<&String> {
    let of_module = |name: &String| saved.modules.iter().any(|entry| lies_in(name, entry));
    saved.full.keys().filter(|name| !of_module(name)).collect()
}

/// How a folder records its kind of adapter.
struct Form {
    /// The `peft_type`.
    kind: &'static str,
    naming: Naming,
    settings: Map<String, Value>,
}

impl Form {
    /// Returns the form of each variant.
    fn of(config: &AdapterConfig) -> Self {
        let (kind, naming, settings) = match config.variant {
            Variant::Bone(BlockAxis::Output) => {
                (MISS, Naming::MISS, blocks(json!("bat"), 1, config))
            }
            Variant::Bone(BlockAxis::Input) => (
                BONE_INPUT,
                Naming::BONE_INPUT,
                blocks(json!(true), 1, config),
            ),
            Variant::Miss => (MISS, Naming::MISS, blocks(json!(true), 1, config)),
            Variant::MissMini { width } => {
                (MISS, Naming::MISS, blocks(json!("mini"), width, config))
            }
            Variant::Lora(lora) => (LORA, Naming::LORA, factors(lora, config)),
        };
        Self {
            kind,
            naming,
            settings,
        }
    }
}

/// Returns how a folder names the tensors of an adapter. Tuned states have the names of their
/// parameters.
pub(crate) fn naming(config: Option<&AdapterConfig>) -> Naming {
    config.map_or(Naming::RWKV_BONE, |config| Form::of(config).naming)
}

/// Returns the `peft_type` of a folder.
fn peft_type(saved: &SavedAdapter) -> String {
    let Some(config) = &saved.config else {
        return STATES.into();
    };
    let kind = Form::of(config).kind;
    // PEFT then raises an error instead of loading only the rest; it does not know our types at
    // all.
    if is_pefts(kind) && !parameters(saved).is_empty() {
        format!("{kind}{WITH_PARAMETERS}")
    } else {
        kind.into()
    }
}

fn is_pefts(kind: &str) -> bool {
    kind == LORA || kind == MISS
}

/// Returns the `peft_type` that [`write`](crate::peft::write()) gives a folder, if PEFT does not
/// know the type and refuses it.
///
/// See the [example](crate::peft).
pub fn own_type(saved: &SavedAdapter) -> Option<String> {
    let kind = peft_type(saved);
    (!is_pefts(&kind)).then_some(kind)
}

/// Writes the configuration in PEFT's form.
pub(in crate::peft) fn to_json(saved: &SavedAdapter, base_model: Option<&str>) -> String {
    let value = match &saved.config {
        Some(config) => adapter_json(saved, config, base_model),
        None => json!({
            "base_model_name_or_path": base_model,
            "peft_type": peft_type(saved),
            "task_type": "CAUSAL_LM",
        }),
    };
    format!("{value:#}\n")
}

fn adapter_json(saved: &SavedAdapter, config: &AdapterConfig, base_model: Option<&str>) -> Value {
    // PEFT accepts layer numbers only beside a list of names; the list of all names is equivalent.
    let targets = match (&config.targets.layers, &config.targets.modules) {
        (Some(_), Selection::AllLinear | Selection::Regex(_)) => {
            &Targets::new(Selection::names(saved.layers.keys()))
        }
        _ => &config.targets,
    };
    let modules = &saved.modules;
    let parameters = parameters(saved);
    let mut value = json!({
        "auto_mapping": null,
        "base_model_name_or_path": base_model,
        "bias": "none",
        "exclude_modules": targets.exclude.as_ref().map(selection_json),
        "inference_mode": true,
        "layers_pattern": null,
        "layers_to_transform": targets.layers,
        "modules_to_save": (!modules.is_empty()).then_some(modules),
        "peft_type": peft_type(saved),
        "r": config.rank,
        "revision": null,
        "target_modules": selection_json(&targets.modules),
        "task_type": "CAUSAL_LM",
    });
    if let Value::Object(map) = &mut value {
        map.extend(Form::of(config).settings);
        if !parameters.is_empty() {
            map.insert("parameters_to_save".into(), json!(parameters));
        }
        map.sort_keys();
    }
    value
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries
        .map(|(key, value)| (key.to_string(), value))
        .into_iter()
        .collect()
}

fn blocks(init_weights: Value, mini_r: usize, config: &AdapterConfig) -> Map<String, Value> {
    object([
        ("init_weights", init_weights),
        ("mini_r", json!(mini_r)),
        ("miss_dropout", json!(config.dropout)),
    ])
}

fn factors(lora: LoraConfig, config: &AdapterConfig) -> Map<String, Value> {
    // PEFT's values are integers.
    let alpha = match lora.alpha.fract() == 0.0 && lora.alpha < 1e15 {
        true => json!(lora.alpha as u64),
        false => json!(lora.alpha),
    };
    object([
        ("alpha_pattern", json!({})),
        ("fan_in_fan_out", json!(false)),
        ("init_lora_weights", json!(true)),
        ("lora_alpha", alpha),
        ("lora_bias", json!(false)),
        ("lora_dropout", json!(config.dropout)),
        ("rank_pattern", json!({})),
        ("use_dora", json!(false)),
        ("use_rslora", json!(lora.rslora)),
    ])
}
