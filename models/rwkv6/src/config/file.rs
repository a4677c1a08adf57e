//! Reads the dimensions of a new model from a `config.json` in the form of the Hugging Face remote
//! code.

use crate::{Names, Rwkv6Config, Rwkv6Error};
use bone_lm::{MAX_JSON_BYTES, read_small};
use serde_json::{Map, Value};
use std::path::Path;

/// Larger than any dimension of a real model; it keeps products of two dimensions from overflowing.
const MAX_DIMENSION: u64 = 1 << 24;

/// Keys that do not affect the computation.
const HARMLESS: &[&str] = &[
    "_name_or_path",
    "architectures",
    "auto_map",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "license",
    "model_type",
    // The remote code stores it but derives the number of heads from head_size.
    "num_attention_heads",
    "pad_token_id",
    "rescale_every",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

struct Reader {
    fields: Map<String, Value>,
    problems: Vec<String>,
}

impl Reader {
    fn take(&mut self, key: &str) -> Option<Value> {
        self.fields.remove(key).filter(|value| !value.is_null())
    }

    fn size(&mut self, key: &str, default: Option<usize>) -> usize {
        match (self.take(key), default) {
            (None, Some(default)) => default,
            (None, None) => {
                self.problems.push(format!("{key} is missing"));
                1
            }
            (Some(value), _) => match value.as_u64() {
                Some(size @ 1..=MAX_DIMENSION) => size as usize,
                _ => {
                    self.problems.push(format!(
                        "{key} must be an integer from 1 to {MAX_DIMENSION}, not {value}"
                    ));
                    1
                }
            },
        }
    }

    /// Accepts a key that may be present with one value only.
    fn only(&mut self, key: &str, allowed: &Value) {
        if let Some(value) = self.take(key)
            && value != *allowed
            && value.as_f64() != allowed.as_f64().or(Some(f64::NAN))
        {
            self.problems.push(format!(
                "{key} {value} is not supported; expected {allowed}"
            ));
        }
    }
}

impl Rwkv6Config {
    /// Reads `config.json` in `folder`: `hidden_size`, `num_hidden_layers` and `vocab_size`.
    /// Optional, with RWKV's defaults: `head_size` (64), `intermediate_size` (⌊3.5 C / 32⌋ · 32),
    /// `time_mix_extra_dim` (32) and `time_decay_extra_dim` (64). The last two are twice as large
    /// from C = 4096 on.
    ///
    /// # Errors
    ///
    /// Lists every field that is missing, malformed or not supported.
    pub fn from_folder(folder: &Path) -> Result<Self, Rwkv6Error> {
        let path = folder.join("config.json");
        match read(&path)? {
            Some(value) => Self::from_json(&path, value),
            None => Err(Rwkv6Error::ConfigFile {
                path,
                reason:
                    "file not found; random weights need its model_type, vocab_size, hidden_size \
                         and num_hidden_layers"
                        .into(),
            }),
        }
    }

    /// Reads the content of the `config.json` at `path`, like [`from_folder`](Self::from_folder).
    ///
    /// # Errors
    ///
    /// Same as [`from_folder`](Self::from_folder).
    pub fn from_json(path: &Path, value: Value) -> Result<Self, Rwkv6Error> {
        let path = path.to_path_buf();
        match value {
            Value::Object(fields) => {
                from_fields(fields).map_err(|problems| Rwkv6Error::Config { path, problems })
            }
            _ => Err(Rwkv6Error::ConfigFile {
                path,
                reason: "not a JSON object".into(),
            }),
        }
    }
}

/// Reads the content of the file `path`; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Value>, Rwkv6Error> {
    let file_error = |reason: String| Rwkv6Error::ConfigFile {
        path: path.to_owned(),
        reason,
    };
    let bytes = read_small(path, MAX_JSON_BYTES).map_err(|error| file_error(error.to_string()))?;
    let value = bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose();
    value.map_err(|error| file_error(format!("invalid JSON: {error}")))
}

fn from_fields(fields: Map<String, Value>) -> Result<Rwkv6Config, Vec<String>> {
    let mut reader = Reader {
        fields,
        problems: Vec::new(),
    };
    let kind = reader.fields.get("model_type").cloned();
    if kind.as_ref().and_then(Value::as_str) != Some("rwkv6") {
        let kind = kind.unwrap_or(Value::Null);
        reader.problems.push(format!(
            "model_type {kind} is not supported; expected \"rwkv6\""
        ));
    }
    for key in HARMLESS {
        reader.fields.remove(*key);
    }
    let hidden_size = reader.size("hidden_size", None);
    let wide = if hidden_size >= 4096 { 2 } else { 1 };
    let config = Rwkv6Config {
        vocab_size: reader.size("vocab_size", None),
        hidden_size,
        num_hidden_layers: reader.size("num_hidden_layers", None),
        head_size: reader.size("head_size", Some(64)),
        intermediate_size: reader.size(
            "intermediate_size",
            Some((hidden_size * 7 / 2 / 32 * 32).max(1)),
        ),
        shift_rank: reader.size("time_mix_extra_dim", Some(32 * wide)),
        decay_rank: reader.size("time_decay_extra_dim", Some(64 * wide)),
        initial_state: false,
        names: Names::Rwkv,
    };
    if !hidden_size.is_multiple_of(config.head_size) {
        reader.problems.push(format!(
            "hidden_size {hidden_size} is not a multiple of head_size {}",
            config.head_size
        ));
    }
    reader.only("attention_hidden_size", &hidden_size.into());
    reader.only("head_size_divisor", &8.into());
    reader.only("layer_norm_epsilon", &1e-5.into());
    reader.only("tie_word_embeddings", &false.into());
    let unknown: Vec<_> = reader
        .fields
        .iter()
        .filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)))
        .map(|(key, _)| format!("unknown key {key}; remove it if it has no effect"))
        .collect();
    reader.problems.extend(unknown);
    if reader.problems.is_empty() {
        Ok(config)
    } else {
        Err(reader.problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Rwkv6Config, Vec<String>> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => from_fields(fields),
            other => panic!("{other:?} is not an object"),
        }
    }

    #[test]
    fn default_widths_match_released_models() {
        let config = parse(
            r#"{"model_type": "rwkv6", "vocab_size": 65536, "hidden_size": 2048,
                "num_hidden_layers": 24, "head_size": 64, "head_size_divisor": 8,
                "attention_hidden_size": 2048, "layer_norm_epsilon": 1e-05,
                "tie_word_embeddings": false, "intermediate_size": null}"#,
        )
        .expect("valid");
        assert_eq!(config.intermediate_size, 7168);
        assert_eq!((config.shift_rank, config.decay_rank), (32, 64));
        assert_eq!(config.num_heads(), 32);
        // RWKV-6 World 1.6B is published as a model of 1.6 billion parameters.
        assert_eq!(config.num_params(), 1_599_873_024);
        let wide = parse(
            r#"{"model_type": "rwkv6", "vocab_size": 65536, "hidden_size": 4096,
                "num_hidden_layers": 32}"#,
        )
        .expect("valid");
        assert_eq!((wide.shift_rank, wide.decay_rank), (64, 128));
        assert_eq!(wide.intermediate_size, 14336);
    }

    #[test]
    fn config_error_lists_every_problem() {
        let problems = parse(
            r#"{"model_type": "rwkv5", "vocab_size": 0, "hidden_size": 100, "head_size": 64,
                "head_size_divisor": 4, "attention_bias": true}"#,
        )
        .expect_err("all wrong");
        for field in [
            "model_type",
            "vocab_size",
            "num_hidden_layers",
            "head_size 64",
            "head_size_divisor",
            "attention_bias",
        ] {
            assert!(
                problems.iter().any(|p| p.contains(field)),
                "{field} not in {problems:?}"
            );
        }
    }
}
