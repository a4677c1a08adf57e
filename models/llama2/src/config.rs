use crate::LlamaError;
use bone_lm::{MAX_JSON_BYTES, Part, read_small};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Larger than any dimension of a real model; it keeps products of two dimensions from overflowing.
const MAX_DIMENSION: u64 = 1 << 24;

/// A LLaMA's dimensions, under the names in `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves a group of query heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence that the model was trained for.
    pub max_position_embeddings: usize,
    /// ε of the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary embedding's wavelengths.
    pub rope_theta: f64,
    /// Whether the embedding is also the output layer.
    pub tie_word_embeddings: bool,
    /// Whether the attention's projections have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Standard deviation of random starting weights.
    pub initializer_range: f64,
}

/// Fields that do not change what the model computes.
const HARMLESS: &[&str] = &[
    "_attn_implementation_autoset",
    "_name_or_path",
    "_commit_hash",
    "architectures",
    "auto_map",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "id2label",
    "label2id",
    "license",
    "max_sequence_length",
    "model_type",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "use_cache",
    "use_return_dict",
];

impl LlamaConfig {
    /// Reads `config.json` in `folder`.
    ///
    /// # Errors
    ///
    /// Lists every field that is missing, malformed or not supported.
    pub fn from_folder(folder: &Path) -> Result<Self, LlamaError> {
        let path = folder.join("config.json");
        let file_error = |reason: String| LlamaError::ConfigFile {
            path: path.clone(),
            reason,
        };
        let bytes = read_small(&path, MAX_JSON_BYTES)
            .map_err(|error| file_error(error.to_string()))?
            .ok_or_else(|| file_error("file not found; give a Hugging Face folder".into()))?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| file_error(format!("invalid JSON: {error}")))?;
        Self::from_json(&path, value)
    }

    /// Reads the content of the `config.json` at `path`, like [`from_folder`](Self::from_folder).
    ///
    /// # Errors
    ///
    /// Same as [`from_folder`](Self::from_folder).
    pub fn from_json(path: &Path, value: Value) -> Result<Self, LlamaError> {
        let path = path.to_path_buf();
        match value {
            Value::Object(fields) => {
                Self::from_fields(fields).map_err(|problems| LlamaError::Config { path, problems })
            }
            _ => Err(LlamaError::ConfigFile {
                path,
                reason: "not a JSON object".into(),
            }),
        }
    }

    fn from_fields(fields: Map<String, Value>) -> Result<Self, Vec<String>> {
        let mut reader = Reader {
            fields,
            problems: Vec::new(),
        };
        let kind = reader.take("model_type");
        if kind.as_ref().and_then(Value::as_str) != Some("llama") {
            let kind = kind.unwrap_or(Value::Null);
            reader.problem(format!(
                "model_type {kind} is not supported; expected \"llama\""
            ));
        }
        reader.only("hidden_act", "silu");
        if reader
            .take("attention_dropout")
            .is_some_and(|p| p.as_f64() != Some(0.0))
        {
            reader.problem("attention_dropout other than 0 is not supported; set it to 0".into());
        }
        let hidden_size = reader.size("hidden_size", None);
        let num_attention_heads = reader.size("num_attention_heads", None);
        let head_dim = match hidden_size.checked_div(num_attention_heads) {
            Some(width) if width * num_attention_heads == hidden_size => Some(width),
            _ => None,
        };
        if head_dim.is_none() && !reader.has("head_dim") {
            reader.problem(format!(
                "hidden_size {hidden_size} is not a multiple of num_attention_heads \
                 {num_attention_heads}, and head_dim is missing"
            ));
        }
        let config = Self {
            hidden_size,
            num_attention_heads,
            intermediate_size: reader.size("intermediate_size", None),
            num_hidden_layers: reader.size("num_hidden_layers", None),
            num_key_value_heads: reader.size("num_key_value_heads", Some(num_attention_heads)),
            head_dim: reader.size("head_dim", Some(head_dim.unwrap_or(2))),
            vocab_size: reader.size("vocab_size", None),
            max_position_embeddings: reader.size("max_position_embeddings", Some(2048)),
            rms_norm_eps: reader.number("rms_norm_eps", 1e-6),
            rope_theta: reader.rope(),
            tie_word_embeddings: reader.flag("tie_word_embeddings"),
            attention_bias: reader.flag("attention_bias"),
            mlp_bias: reader.flag("mlp_bias"),
            initializer_range: reader.number("initializer_range", 0.02),
        };
        if !config
            .num_attention_heads
            .is_multiple_of(config.num_key_value_heads.max(1))
        {
            reader.problem(format!(
                "num_attention_heads {} is not a multiple of num_key_value_heads {}",
                config.num_attention_heads, config.num_key_value_heads
            ));
        }
        if config.head_dim % 2 == 1 {
            reader.problem(format!(
                "head_dim {} is odd, but rotary embeddings need an even head_dim",
                config.head_dim
            ));
        }
        reader.refuse_the_rest();
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(reader.problems)
        }
    }

    /// Returns the number of parameters of the whole model.
    pub fn num_params(&self) -> usize {
        let embedding = self.vocab_size * self.hidden_size;
        let head = if self.tie_word_embeddings {
            0
        } else {
            embedding
        };
        embedding + head + self.num_hidden_layers * self.block_params() + self.hidden_size
    }

    /// Returns the number of parameters of each [`Part`] of the model.
    pub fn part_params(&self) -> BTreeMap<Part, usize> {
        let embedding = self.vocab_size * self.hidden_size;
        let norms = (2 * self.num_hidden_layers + 1) * self.hidden_size;
        let mut parts = BTreeMap::from([(Part::Embedding, embedding), (Part::Norm, norms)]);
        if !self.tie_word_embeddings {
            parts.insert(Part::Head, embedding);
        }
        parts
    }

    /// Returns every linear layer: module path, inputs, outputs.
    pub fn linear_layers(&self) -> Vec<(String, usize, usize)> {
        let (h, f) = (self.hidden_size, self.intermediate_size);
        let q = self.num_attention_heads * self.head_dim;
        let kv = self.num_key_value_heads * self.head_dim;
        let of_block = [
            ("self_attn.q_proj", h, q),
            ("self_attn.k_proj", h, kv),
            ("self_attn.v_proj", h, kv),
            ("self_attn.o_proj", q, h),
            ("mlp.gate_proj", h, f),
            ("mlp.up_proj", h, f),
            ("mlp.down_proj", f, h),
        ];
        let path = |layer, name| format!("model.layers.{layer}.{name}");
        let mut layers: Vec<_> = (0..self.num_hidden_layers)
            .flat_map(|layer| of_block.map(|(name, i, o)| (path(layer, name), i, o)))
            .collect();
        if !self.tie_word_embeddings {
            layers.push(("lm_head".into(), h, self.vocab_size));
        }
        layers
    }

    /// Returns the number of parameters of one block.
    pub fn block_params(&self) -> usize {
        let (h, f) = (self.hidden_size, self.intermediate_size);
        let q = self.num_attention_heads * self.head_dim;
        let kv = self.num_key_value_heads * self.head_dim;
        let attention_bias = usize::from(self.attention_bias) * (q + 2 * kv + h);
        let mlp_bias = usize::from(self.mlp_bias) * (2 * f + h);
        2 * h * q + 2 * h * kv + 3 * h * f + 2 * h + attention_bias + mlp_bias
    }
}

/// Takes fields out one by one; any field left at the end is unknown.
struct Reader {
    fields: Map<String, Value>,
    problems: Vec<String>,
}

impl Reader {
    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    fn has(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.fields.shift_remove(key).filter(|v| !v.is_null())
    }

    fn size(&mut self, key: &str, default: Option<usize>) -> usize {
        match (self.take(key), default) {
            (None, Some(default)) => default,
            (None, None) => {
                self.problem(format!("{key} is missing"));
                1
            }
            (Some(value), _) => match value.as_u64() {
                Some(size) if (1..=MAX_DIMENSION).contains(&size) => size as usize,
                _ => {
                    self.problem(format!(
                        "{key} must be an integer from 1 to {MAX_DIMENSION}, not {value}"
                    ));
                    1
                }
            },
        }
    }

    fn number(&mut self, key: &str, default: f64) -> f64 {
        match self.take(key) {
            None => default,
            Some(value) => match value.as_f64() {
                Some(number) if number > 0.0 && number.is_finite() => number,
                _ => {
                    self.problem(format!(
                        "{key} must be a number greater than 0, not {value}"
                    ));
                    default
                }
            },
        }
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.take(key) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(value) => {
                self.problem(format!("{key} must be true or false, not {value}"));
                false
            }
        }
    }

    fn only(&mut self, key: &str, supported: &str) {
        if let Some(value) = self.take(key)
            && value.as_str() != Some(supported)
        {
            self.problem(format!(
                "{key} {value} is not supported; expected \"{supported}\""
            ));
        }
    }

    /// Reads `rope_theta`, from the top level or from `rope_parameters`, where newer files keep it.
    fn rope(&mut self) -> f64 {
        let mut theta = self.number("rope_theta", 10_000.0);
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(value) = self.take(key) else {
                continue;
            };
            let Value::Object(fields) = value else {
                self.problem(format!("{key} must be an object, not {value}"));
                continue;
            };
            let mut inner = Reader {
                fields,
                problems: Vec::new(),
            };
            theta = inner.number("rope_theta", theta);
            for name in ["rope_type", "type"] {
                inner.only(name, "default");
            }
            if inner.number("partial_rotary_factor", 1.0) != 1.0 {
                inner.problem("partial_rotary_factor other than 1 is not supported".into());
            }
            inner.refuse_the_rest();
            for problem in inner.problems {
                self.problem(format!("{key}.{problem}"));
            }
        }
        theta
    }

    fn refuse_the_rest(&mut self) {
        for (key, value) in std::mem::take(&mut self.fields) {
            // A field that is absent, empty or off has no effect.
            let nothing = match &value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !nothing && !HARMLESS.contains(&key.as_str()) {
                self.problem(format!(
                    "{key} {value} is not supported; if it does not change what the model \
                     computes, remove it"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
