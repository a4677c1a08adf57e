use super::*;
use crate::saved::SavedAdapter;
use crate::{BlockAxis, LoraConfig, LoraStart, Targets, Variant};
use burn::tensor::TensorData;
use serde_json::Value;
use std::collections::BTreeMap;

const VARIANTS: [Variant; 6] = [
    Variant::Bone(BlockAxis::Output),
    Variant::Bone(BlockAxis::Input),
    Variant::Miss,
    Variant::MissMini { width: 4 },
    lora(8.0, false),
    lora(0.5, true),
];

const fn lora(alpha: f64, rslora: bool) -> Variant {
    Variant::Lora(LoraConfig {
        alpha,
        rslora,
        start: LoraStart::Random,
    })
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn adapter(variant: Variant) -> AdapterConfig {
    let targets = Targets {
        modules: Selection::names(["q_proj", "v_proj"]),
        exclude: Some(Selection::Regex(r".*\.1\..*".into())),
        layers: Some(vec![0, 2]),
    };
    AdapterConfig::new(variant, 8, targets)
}

/// Returns the configuration of a folder with these full parameters and modules.
fn json(config: Option<AdapterConfig>, modules: &[&str], parameters: &[&str]) -> String {
    let inside = modules.iter().map(|module| format!("{module}.weight"));
    let names = inside.chain(owned(parameters));
    let saved = SavedAdapter {
        path: Default::default(),
        settings: Default::default(),
        naming: naming(config.as_ref()),
        config,
        layers: BTreeMap::new(),
        full: names.map(|name| (name, TensorData::from([0f32]))).collect(),
        modules: owned(modules),
    };
    to_json(&saved, Some("base"))
}

#[test]
fn written_config_is_read_back() {
    for variant in VARIANTS {
        for modules in [&[][..], &["model.norm", "lm_head"]] {
            for parameters in [&[][..], &["blocks.0.att.time_decay"]] {
                let config = adapter(variant);
                let read = from_json(&json(Some(config.clone()), modules, parameters));
                let layout = Layout::Adapter {
                    naming: naming(Some(&config)),
                    config,
                    modules: owned(modules),
                    parameters: owned(parameters),
                };
                assert_eq!(read, Ok(layout));
            }
        }
    }
    assert_eq!(from_json(&json(None, &[], &[])), Ok(Layout::States));
}

#[test]
fn peft_type_marks_contents_that_peft_cannot_load() {
    let kind = |json: String| {
        let value: Value = serde_json::from_str(&json).expect("JSON");
        value["peft_type"].as_str().expect("text").to_string()
    };
    let time = ["blocks.0.att.time_decay"];
    for variant in VARIANTS {
        let (plain, more) = match variant {
            Variant::Bone(BlockAxis::Input) => ("BONE_INPUT", "BONE_INPUT"),
            Variant::Lora(_) => ("LORA", "LORA_WITH_PARAMETERS"),
            _ => ("MISS", "MISS_WITH_PARAMETERS"),
        };
        let config = Some(adapter(variant));
        assert_eq!(kind(json(config.clone(), &["lm_head"], &[])), plain);
        assert_eq!(kind(json(config, &["lm_head"], &time)), more);
    }
    assert_eq!(kind(json(None, &[], &[])), "RWKV_STATE");
}

/// Reads a configuration with these fields besides rank and targets.
fn read(fields: Value) -> Result<(Variant, Naming, f64), String> {
    let mut value = serde_json::json!({"r": 4, "target_modules": "all-linear"});
    let map = value.as_object_mut().expect("an object");
    map.extend(fields.as_object().expect("an object").clone());
    match from_json(&value.to_string())? {
        Layout::Adapter { config, naming, .. } => Ok((config.variant, naming, config.dropout)),
        Layout::States => panic!("no adapter"),
    }
}

#[test]
fn configs_of_other_tools_are_read_or_refused() {
    use serde_json::json;
    let bat = Variant::Bone(BlockAxis::Output);
    let pissa = LoraStart::Pissa(crate::SvdMethod::Exact);
    let cases = [
        (
            json!({"peft_type": "MISS", "miss_dropout": 0.1}),
            Variant::Miss,
            Naming::MISS,
            0.1,
        ),
        (
            json!({"peft_type": "MISS", "init_weights": "bat", "miss_dropout": 0.1}),
            bat,
            Naming::MISS,
            0.0,
        ),
        (
            json!({"peft_type": "BONE", "init_weights": true}),
            Variant::Miss,
            Naming::BONE,
            0.0,
        ),
        (
            json!({"peft_type": "BONE", "init_weights": "bat"}),
            bat,
            Naming::BONE,
            0.0,
        ),
        (
            json!({"peft_type": "LORA", "lora_alpha": 8, "lora_dropout": 0.2}),
            lora(8.0, false),
            Naming::LORA,
            0.2,
        ),
        (
            json!({"peft_type": "LORA", "lora_alpha": 2.5, "use_rslora": true, "init_lora_weights": "gaussian", "eva_config": {"rho": 2}}),
            lora(2.5, true),
            Naming::LORA,
            0.0,
        ),
        (
            json!({"peft_type": "LORA", "lora_alpha": 8, "init_lora_weights": "pissa"}),
            Variant::Lora(LoraConfig {
                alpha: 8.0,
                rslora: false,
                start: pissa,
            }),
            Naming::LORA,
            0.0,
        ),
    ];
    for (fields, variant, naming, dropout) in cases {
        assert_eq!(
            read(fields.clone()),
            Ok((variant, naming, dropout)),
            "{fields}"
        );
    }
    for (fields, part) in [
        (
            json!({"peft_type": "BONE", "init_weights": "mini"}),
            "init_weights",
        ),
        (
            json!({"peft_type": "BONE_INPUT", "init_weights": "bat"}),
            "init_weights",
        ),
        (json!({"peft_type": "LORA", "use_dora": true}), "use_dora"),
        (
            json!({"peft_type": "LORA", "rank_pattern": {"q_proj": 2}}),
            "rank_pattern",
        ),
        (
            json!({"peft_type": "LORA", "init_lora_weights": "pissa_niter_4"}),
            "path_initial_model",
        ),
        (
            json!({"peft_type": "LORA", "init_lora_weights": "loftq"}),
            "path_initial_model",
        ),
        (
            json!({"peft_type": "LORA", "lora_alpha": "8"}),
            "lora_alpha",
        ),
        (json!({"peft_type": "MISS", "made_up": 3}), "made_up"),
    ] {
        let error = read(fields.clone()).expect_err("unsupported");
        assert!(error.contains(part), "{fields}: {error}");
    }
}

#[test]
fn config_error_lists_every_problem() {
    let error = from_json(
        r#"{"peft_type": "VERA", "r": 0, "bias": "all", "modules_to_save": ["lm_head", 3],
            "parameters_to_save": "time_decay", "target_modules": 3, "miss_dropout": 1.5}"#,
    )
    .expect_err("all wrong");
    for field in [
        "peft_type",
        "r:",
        "bias",
        "modules_to_save",
        "parameters_to_save",
        "target_modules",
        "miss_dropout",
    ] {
        assert!(error.contains(field), "{field} not in {error}");
    }
}

#[test]
fn parameters_to_save_must_match_peft_type() {
    for (kind, parameters) in [("MISS", r#"["x"]"#), ("MISS_WITH_PARAMETERS", "[]")] {
        let text = format!(
            r#"{{"peft_type": "{kind}", "r": 2, "target_modules": ["a"], "parameters_to_save": {parameters}}}"#
        );
        let error = from_json(&text).expect_err("contradictory");
        assert!(error.contains("parameters_to_save"), "{error}");
    }
}
