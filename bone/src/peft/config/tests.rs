use super::*;

const VARIANTS: [Variant; 4] = [
    Variant::Bone(BlockAxis::Output),
    Variant::Bone(BlockAxis::Input),
    Variant::Miss,
    Variant::MissMini { width: 4 },
];

fn adapter(variant: Variant, modules: &[&str], parameters: &[&str]) -> Layout {
    let targets = Targets {
        modules: Selection::names(["q_proj", "v_proj"]),
        exclude: Some(Selection::Regex(r".*\.1\..*".into())),
        layers: Some(vec![0, 2]),
    };
    let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    Layout::Adapter {
        config: AdapterConfig::new(variant, 8, targets),
        modules: owned(modules),
        parameters: owned(parameters),
    }
}

#[test]
fn what_is_written_is_read_back() {
    for variant in VARIANTS {
        for modules in [&[][..], &["model.norm", "lm_head"]] {
            for parameters in [&[][..], &["blocks.0.att.time_decay"]] {
                let layout = adapter(variant, modules, parameters);
                let json = to_json(&layout, Some("base"));
                assert_eq!(from_json(&json), Ok(layout));
            }
        }
    }
    let json = to_json(&Layout::States, None);
    assert_eq!(from_json(&json), Ok(Layout::States));
}

#[test]
fn only_what_peft_can_hold_says_that_it_is_pefts() {
    let kind = |layout: Layout| {
        let value: Value = serde_json::from_str(&to_json(&layout, None)).expect("JSON");
        value["peft_type"].as_str().expect("text").to_string()
    };
    let time = ["blocks.0.att.time_decay"];
    for variant in VARIANTS {
        let (plain, more) = match variant {
            Variant::Bone(BlockAxis::Input) => ("BONE_INPUT", "BONE_INPUT"),
            _ => ("MISS", "MISS_WITH_PARAMETERS"),
        };
        assert_eq!(kind(adapter(variant, &["lm_head"], &[])), plain);
        assert_eq!(kind(adapter(variant, &["lm_head"], &time)), more);
    }
    assert_eq!(kind(Layout::States), "RWKV_STATE");
}

#[test]
fn every_problem_is_listed() {
    let error = from_json(
        r#"{"peft_type": "LORA", "r": 0, "bias": "all", "modules_to_save": ["lm_head", 3],
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
fn parameters_under_the_wrong_type_are_refused() {
    for (kind, parameters) in [("MISS", r#"["x"]"#), ("MISS_WITH_PARAMETERS", "[]")] {
        let text = format!(
            r#"{{"peft_type": "{kind}", "r": 2, "target_modules": ["a"], "parameters_to_save": {parameters}}}"#
        );
        let error = from_json(&text).expect_err("contradictory");
        assert!(error.contains("parameters_to_save"), "{error}");
    }
}
