use super::*;
use serde_json::json;

fn fields(changes: Value) -> Map<String, Value> {
    let mut base = json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 172,
        "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4,
        "vocab_size": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "torch_dtype": "float16", "rope_scaling": null, "pretraining_tp": 1, "attention_dropout": 0.0
    });
    if let (Value::Object(base), Value::Object(changes)) = (&mut base, changes) {
        base.extend(changes);
    }
    match base {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[test]
fn both_styles_of_rope_are_read() {
    let old = LlamaConfig::from_fields(fields(json!({"rope_theta": 5e5}))).expect("valid");
    let new = LlamaConfig::from_fields(fields(
        json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}),
    ))
    .expect("valid");
    assert_eq!(old, new);
    assert_eq!(old.rope_theta, 5e5);
    assert_eq!(old.head_dim, 8);
}

#[test]
fn unsupported_config_fields_are_named() {
    let problems = LlamaConfig::from_fields(fields(json!({
        "model_type": "mistral", "hidden_act": "gelu", "sliding_window": 4096,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
        "quantization_config": {"bits": 4}, "num_key_value_heads": 3, "vocab_size": 0,
        "rms_norm_eps": "small", "head_dim": 7, "tie_word_embeddings": 1, "attention_dropout": 0.1
    })))
    .expect_err("all wrong")
    .join("\n");
    for name in [
        "model_type",
        "hidden_act",
        "sliding_window",
        "rope_scaling.rope_type",
        "rope_scaling.factor",
        "quantization_config",
        "num_key_value_heads 3",
        "vocab_size",
        "rms_norm_eps",
        "head_dim 7",
        "tie_word_embeddings",
        "attention_dropout",
    ] {
        assert!(problems.contains(name), "{name} not in:\n{problems}");
    }
}

#[test]
fn missing_fields_are_all_named() {
    let problems = LlamaConfig::from_fields(Map::new()).expect_err("empty");
    let text = problems.join("\n");
    for name in ["hidden_size", "vocab_size", "intermediate_size"] {
        assert!(text.contains(&format!("{name} is missing")), "{text}");
    }
}

#[test]
fn parameters_are_counted() {
    // LLaMA2-7B.
    let config = LlamaConfig::from_fields(fields(json!({
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000
    })))
    .expect("valid");
    assert_eq!(config.num_params(), 6_738_415_616);
}
