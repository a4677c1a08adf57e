//! Checks that a `config.json` describes the model in its folder.

use super::file;
use crate::{Rwkv6Config, Rwkv6Error};
use bone_lm::checkpoint::Checkpoint;
use serde_json::Value;
use std::path::Path;

impl Rwkv6Config {
    /// Returns the dimensions of the model at `path` with the weights `checkpoint`. If `path` is a
    /// folder with an RWKV6's `config.json`, they are compared with it. Absent fields, and fields
    /// that do not affect the computation, are ignored.
    ///
    /// # Errors
    ///
    /// Those of [`from_checkpoint`](Self::from_checkpoint). Also if the file cannot be read, or if
    /// fields contradict the tensors; all of them are listed.
    pub fn at(path: &Path, checkpoint: &Checkpoint) -> Result<Self, Rwkv6Error> {
        let config = Self::from_checkpoint(checkpoint)?;
        let file = path.join("config.json");
        if path.is_dir()
            && let Some(fields) = file::read(&file)?
        {
            config.agrees_with(&file, &fields)?;
        }
        Ok(config)
    }

    /// Compares the dimensions with the `config.json` at `path`, like [`at`](Self::at).
    ///
    /// # Errors
    ///
    /// Lists every field that differs.
    pub fn agrees_with(&self, path: &Path, fields: &Value) -> Result<(), Rwkv6Error> {
        let problems = if fields["model_type"] == "rwkv6" {
            self.contradictions(fields)
        } else {
            Vec::new()
        };
        if problems.is_empty() {
            return Ok(());
        }
        let path = path.to_path_buf();
        Err(Rwkv6Error::Contradicted { path, problems })
    }

    fn contradictions(&self, fields: &Value) -> Vec<String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("attention_hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("head_size", self.head_size),
            ("intermediate_size", self.intermediate_size),
            ("time_mix_extra_dim", self.shift_rank),
            ("time_decay_extra_dim", self.decay_rank),
        ];
        let sizes = sizes.map(|(key, size)| (key, "but the tensors have", size as f64));
        let fixed = [
            ("head_size_divisor", "but RWKV6 has", 8.0),
            ("layer_norm_epsilon", "but RWKV6 has", 1e-5),
        ];
        sizes
            .into_iter()
            .chain(fixed)
            .filter(|(key, _, own)| !fields[key].is_null() && fields[key].as_f64() != Some(*own))
            .map(|(key, whose, own)| format!("{key} is {}, {whose} {own}", fields[key]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Names;

    #[test]
    fn contradicting_config_fields_are_listed() {
        let config = Rwkv6Config {
            vocab_size: 96,
            hidden_size: 24,
            num_hidden_layers: 2,
            head_size: 12,
            intermediate_size: 50,
            shift_rank: 5,
            decay_rank: 7,
            initial_state: false,
            names: Names::HuggingFace,
        };
        let held = |text: &str| {
            let fields = serde_json::from_str(text).expect("JSON");
            config.agrees_with(Path::new("config.json"), &fields)
        };
        held(
            r#"{"model_type": "rwkv6", "vocab_size": 96, "hidden_size": 24, "head_size": 12,
                "intermediate_size": null, "layer_norm_epsilon": 1e-05, "anything": 3}"#,
        )
        .expect("agrees");
        let error = held(
            r#"{"model_type": "rwkv6", "vocab_size": 97, "hidden_size": "24",
                "num_hidden_layers": 2, "layer_norm_epsilon": 1e-3}"#,
        )
        .expect_err("contradicts");
        let error = error.to_string();
        for line in [
            "vocab_size is 97, but",
            "hidden_size is \"24\", but",
            "layer_norm_epsilon is 0.001, but RWKV6 has 0.00001",
        ] {
            assert!(error.contains(line), "{error}");
        }
        assert_eq!(error.lines().count(), 4, "{error}");
        held(r#"{"model_type": "llama", "vocab_size": 97}"#).expect("a LLaMA config is ignored");
    }
}
