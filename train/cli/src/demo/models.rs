//! The bundled models, and the settings of their fine-tuning.

use bone_data::Holdout;
use bone_train::config::{MethodName, RawConfig};
use bone_train::models::Architecture;
use std::path::Path;

/// A tiny model with its files in the binary.
#[derive(Debug)]
pub(super) struct Bundled {
    pub(super) architecture: Architecture,
    /// Its word for `--arch`, and its folder's name if there are several.
    pub(super) name: &'static str,
    config: &'static [u8],
    weights: &'static [u8],
    rank: usize,
    learning_rate: f64,
}

pub(super) const LLAMA2: Bundled = Bundled {
    architecture: Architecture::Llama2,
    name: "llama2",
    config: include_bytes!("../../demo/llama2/config.json"),
    weights: include_bytes!("../../demo/llama2/model.safetensors"),
    rank: 32,
    learning_rate: 3e-3,
};

pub(super) const RWKV6: Bundled = Bundled {
    architecture: Architecture::Rwkv6,
    name: "rwkv6",
    config: include_bytes!("../../demo/rwkv6/config.json"),
    weights: include_bytes!("../../demo/rwkv6/model.safetensors"),
    rank: 16,
    learning_rate: 4e-3,
};

/// Both models use the same characters.
const TOKENIZER: &[u8] = include_bytes!("../../demo/tokenizer.json");

impl Bundled {
    /// Returns the files of a model folder.
    pub(super) fn files(&self) -> [(&'static str, &'static [u8]); 3] {
        [
            ("config.json", self.config),
            ("tokenizer.json", TOKENIZER),
            ("model.safetensors", self.weights),
        ]
    }

    /// Returns the settings of its fine-tuning; all others are Bone's defaults.
    pub(super) fn settings(
        &self,
        base: &Path,
        data: &Path,
        out: &Path,
        steps: u32,
        device: &str,
    ) -> RawConfig {
        RawConfig {
            model: Some(base.to_path_buf()),
            data: Some(data.to_path_buf().into()),
            out: Some(out.to_path_buf()),
            method: Some(MethodName::Bone),
            rank: Some(self.rank),
            template: Some("plain".into()),
            max_seq_len: Some(64),
            max_steps: Some(steps as usize),
            batch_size: Some(32),
            learning_rate: Some(self.learning_rate),
            warmup_ratio: Some(0.05),
            validation: Some(Holdout::Count(64)),
            // Such a small model needs no memory savings.
            recompute: Some(false),
            device: Some(device.to_string()),
            ..RawConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::commands::generate::answer;
    use crate::session::SessionArgs;
    use bone_lm::sampling::SamplingConfig;
    use bone_train::models::{open, read_config};

    const MAX_BYTES: usize = 3_000_000;

    fn unpacked(model: &Bundled) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in model.files() {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn bundled_models_match_their_config() {
        for model in [LLAMA2, RWKV6] {
            assert!(model.weights.len() <= MAX_BYTES, "{}", model.name);
            let dir = unpacked(&model);
            let weights = open(dir.path()).unwrap().info;
            let config = read_config(dir.path()).unwrap();
            assert_eq!(weights.architecture, model.architecture);
            assert_eq!(config.architecture, model.architecture);
            assert_eq!(config.linear_layers, weights.linear_layers);
            assert_eq!(config.parts, weights.parts);
            assert_eq!(config.shape.parameters, weights.shape.parameters);
            assert_eq!(weights.stored_bytes, 4 * config.shape.parameters);
        }
    }

    #[test]
    fn bundled_models_solve_their_pretraining_task() {
        let prompts = ["17+25=".to_string(), "42 in words: ".to_string()];
        for model in [LLAMA2, RWKV6] {
            let dir = unpacked(&model);
            let session = SessionArgs {
                device: "cpu".to_owned(),
                ..SessionArgs::of(dir.path())
            };
            let greedy = SamplingConfig::default();
            let answers = answer(&session, None, &prompts, 16, greedy, |_| {}).unwrap();
            let expected = ["17+25=42", "42 in words: forty-two"];
            assert_eq!(answers, expected, "{}", model.name);
        }
    }
}
