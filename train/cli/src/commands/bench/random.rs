//! A model with random weights, written as a checkpoint. The benchmark maps it from its file like a user's
//! model.

use super::refuse_extremes;
use crate::error::CommandError;
use bone_lm::checkpoint::save;
use bone_train::memory::check_weights;
use bone_train::models::{Architecture, ModelInfo, read_config};
use burn::tensor::{DType, TensorData};
use serde_json::{Value, json};
use std::path::Path;

/// Sizes of a random model.
#[derive(Debug, Clone, clap::Args)]
pub struct RandomModel {
    /// Architecture of the random model: llama2, rwkv6
    #[arg(long = "arch", value_name = "NAME", default_value = "llama2", value_parser = architecture)]
    pub architecture: Architecture,
    /// Width of the residual stream
    #[arg(long, value_name = "N", default_value_t = 768)]
    pub hidden_size: usize,
    /// Width of the feed-forward part [default: from the hidden size]
    #[arg(long, value_name = "N")]
    pub intermediate_size: Option<usize>,
    /// Number of blocks
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub layers: usize,
    /// Number of attention heads [default: hidden size / 64]
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
    /// LLaMA2: number of key-value heads [default: as --heads]
    #[arg(long, value_name = "N")]
    pub kv_heads: Option<usize>,
    /// Vocabulary size
    #[arg(long, value_name = "N", default_value_t = 32_000)]
    pub vocab_size: usize,
}

fn architecture(name: &str) -> Result<Architecture, String> {
    match name {
        "llama2" => Ok(Architecture::Llama2),
        "rwkv6" => Ok(Architecture::Rwkv6),
        _ => Err("choose llama2 or rwkv6".to_owned()),
    }
}

/// Upper limit of each size. Products of such sizes do not overflow.
const LARGEST: usize = 1 << 20;

/// Widths of RWKV6's low-rank parts, as in RWKV's code.
const SHIFT_RANK: usize = 32;
const DECAY_RANK: usize = 64;

impl RandomModel {
    fn heads(&self) -> usize {
        self.heads.unwrap_or((self.hidden_size / 64).max(1))
    }

    /// Returns the model's `config.json`, for sequences of `len` tokens.
    fn config(&self, len: usize) -> Result<Value, CommandError> {
        let (hidden_size, heads) = (self.hidden_size, self.heads());
        let kv_heads = self.kv_heads.unwrap_or(heads);
        let sizes = [
            ("hidden_size", hidden_size),
            ("intermediate_size", self.intermediate_size.unwrap_or(1)),
            ("layers", self.layers),
            ("heads", heads),
            ("kv_heads", kv_heads),
            ("vocab_size", self.vocab_size),
        ];
        refuse_extremes(&sizes, LARGEST)?;
        let is_llama = self.architecture == Architecture::Llama2;
        let mut problems = Vec::new();
        if !is_llama && self.kv_heads.is_some() {
            problems.push("--kv-heads: RWKV6 has no key-value heads; remove it".to_owned());
        }
        if !hidden_size.is_multiple_of(heads) {
            problems.push(format!(
                "--heads {heads} must divide --hidden-size {hidden_size}"
            ));
        }
        if is_llama && !heads.is_multiple_of(kv_heads) {
            problems.push(format!("--kv-heads {kv_heads} must divide --heads {heads}"));
        }
        if is_llama && !(hidden_size / heads).is_multiple_of(2) {
            problems.push(
                "--hidden-size / --heads must be even, because rotary positions rotate pairs"
                    .into(),
            );
        }
        if !problems.is_empty() {
            let problems = problems.join("\n  ");
            return Err(CommandError::usage(format!(
                "these sizes make no valid model:\n  {problems}"
            )));
        }
        let own_width = if is_llama {
            (hidden_size * 8 / 3).next_multiple_of(256)
        } else {
            hidden_size * 7 / 2 / 32 * 32
        };
        let mut config = json!({
            "model_type": if is_llama { "llama" } else { "rwkv6" },
            "hidden_size": hidden_size,
            "intermediate_size": self.intermediate_size.unwrap_or(own_width),
            "num_hidden_layers": self.layers,
            "num_attention_heads": heads,
            "vocab_size": self.vocab_size,
        });
        if is_llama {
            config["num_key_value_heads"] = kv_heads.into();
            config["max_position_embeddings"] = len.max(2048).into();
        } else {
            config["head_size"] = (hidden_size / heads).into();
            config["time_mix_extra_dim"] = SHIFT_RANK.into();
            config["time_decay_extra_dim"] = DECAY_RANK.into();
        }
        Ok(config)
    }

    /// Returns names and shapes of the tensors, as in published checkpoints.
    fn tensors(&self, info: &ModelInfo) -> Vec<(String, Vec<usize>)> {
        let (c, vocab, layers) = (self.hidden_size, self.vocab_size, 0..self.layers);
        let linear = info.linear_layers.iter();
        let mut tensors: Vec<_> = linear
            .map(|(path, inputs, outputs)| (format!("{path}.weight"), vec![*outputs, *inputs]))
            .collect();
        match self.architecture {
            Architecture::Llama2 => {
                tensors.push(("model.embed_tokens.weight".into(), vec![vocab, c]));
                let names = ["input_layernorm", "post_attention_layernorm"];
                let norms = layers
                    .flat_map(|layer| names.map(|name| format!("model.layers.{layer}.{name}")))
                    .chain(["model.norm".into()]);
                tensors.extend(norms.map(|norm| (format!("{norm}.weight"), vec![c])));
            }
            Architecture::Rwkv6 => {
                tensors.push(("emb.weight".into(), vec![vocab, c]));
                let mut norms = vec!["ln_out".to_owned(), "blocks.0.ln0".to_owned()];
                for block in layers.map(|layer| format!("blocks.{layer}")) {
                    norms.extend(["ln1", "ln2", "att.ln_x"].map(|norm| format!("{block}.{norm}")));
                    let rows =
                        ["x", "w", "k", "v", "r", "g"].map(|of| format!("att.time_maa_{of}"));
                    let others = ["att.time_decay", "ffn.time_maa_k", "ffn.time_maa_r"];
                    let rows = rows.into_iter().chain(others.map(str::to_owned));
                    tensors.extend(rows.map(|name| (format!("{block}.{name}"), vec![1, 1, c])));
                    let low_rank = [
                        ("time_maa_w1", vec![c, 5 * SHIFT_RANK]),
                        ("time_maa_w2", vec![5, SHIFT_RANK, c]),
                        ("time_decay_w1", vec![c, DECAY_RANK]),
                        ("time_decay_w2", vec![DECAY_RANK, c]),
                        ("time_faaaa", vec![self.heads(), c / self.heads()]),
                    ];
                    tensors
                        .extend(low_rank.map(|(of, shape)| (format!("{block}.att.{of}"), shape)));
                }
                let both = |norm: String| ["weight", "bias"].map(|of| format!("{norm}.{of}"));
                tensors.extend(norms.into_iter().flat_map(both).map(|name| (name, vec![c])));
            }
        }
        tensors
    }

    /// Writes the model to `folder` in `dtype`, for sequences of `len` tokens. Weights are uniform in
    /// ±0.04, and norms change nothing.
    ///
    /// # Errors
    ///
    /// The sizes are invalid, the weights do not fit into memory, or a file cannot be written.
    pub fn write(&self, folder: &Path, len: usize, dtype: DType) -> Result<(), CommandError> {
        let config = self.config(len)?;
        let file = folder.join("config.json");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, config.to_string()))
            .map_err(CommandError::io(&file))?;
        let info = read_config(folder)?;
        check_weights((info.shape.parameters * dtype.size()) as u64)?;
        let mut state = 1u64;
        let mut uniform = move || {
            // xorshift64: fast, and random enough for timing.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let tensors = self.tensors(&info).into_iter().map(|(name, shape)| {
            let count = shape.iter().product();
            let is_norm = name.contains("norm") || name.contains(".ln") || name.starts_with("ln");
            let values: Vec<f32> = match (is_norm, name.ends_with(".weight")) {
                (true, true) => vec![1.0; count],
                (true, false) => vec![0.0; count],
                (false, _) => (0..count).map(|_| 0.04 * uniform()).collect(),
            };
            (name, TensorData::new(values, shape).convert_dtype(dtype))
        });
        // Written in shards: a whole model in memory would count in the measured memory.
        save(folder, tensors, 1 << 26, Default::default())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bone_train::models::open;

    fn model(architecture: Architecture) -> RandomModel {
        RandomModel {
            architecture,
            hidden_size: 16,
            intermediate_size: Some(32),
            layers: 2,
            heads: Some(4),
            kv_heads: (architecture == Architecture::Llama2).then_some(2),
            vocab_size: 24,
        }
    }

    #[test]
    fn random_model_opens_as_its_architecture() {
        for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
            let folder = tempfile::tempdir().unwrap();
            model(architecture)
                .write(folder.path(), 64, DType::BF16)
                .unwrap();
            let info = open(folder.path()).unwrap().info;
            assert_eq!(info.architecture, architecture);
            assert_eq!(info.stored_bytes, 2 * info.shape.parameters);
        }
    }

    #[test]
    fn impossible_model_sizes_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |model: RandomModel, named: &[&str]| {
            let error = model.write(folder.path(), 64, DType::F32).unwrap_err();
            let error = error.to_string();
            for name in named {
                assert!(error.contains(name), "{error}");
            }
        };
        let llama = model(Architecture::Llama2);
        refused(
            RandomModel {
                heads: Some(3),
                ..llama.clone()
            },
            &["--heads 3", "--kv-heads 2"],
        );
        refused(
            RandomModel {
                layers: 0,
                vocab_size: LARGEST + 1,
                ..model(Architecture::Rwkv6)
            },
            &["--layers", "--vocab-size"],
        );
        // The largest sizes do not overflow.
        let huge = RandomModel {
            hidden_size: LARGEST,
            intermediate_size: Some(LARGEST),
            heads: Some(1),
            kv_heads: Some(1),
            layers: 10_000,
            vocab_size: LARGEST,
            ..llama
        };
        refused(huge, &["weights"]);
    }
}
