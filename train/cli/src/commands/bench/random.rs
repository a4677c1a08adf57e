//! A model of random weights, written as a checkpoint: what is measured on it is mapped from its file
//! as a person's is.

use crate::error::CommandError;
use bone_lm::checkpoint::save;
use bone_train::memory::check_weights;
use bone_train::models::{Architecture, ModelInfo, read_config};
use burn::tensor::{DType, TensorData};
use serde_json::{Value, json};
use std::path::Path;

/// Sizes of a model that is made to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomModel {
    /// Its family.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads; RWKV6's are `hidden_size / heads` wide.
    pub heads: usize,
    /// Heads of keys and values; LLaMA2 only.
    pub kv_heads: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Longest sequence.
    pub positions: usize,
}

/// The largest of any of its sizes: their products are numbers yet.
pub(super) const LARGEST: usize = 1 << 20;

/// Widths of RWKV6's low-rank parts, as RWKV makes them.
const SHIFT_RANK: usize = 32;
const DECAY_RANK: usize = 64;

impl RandomModel {
    /// Returns RWKV6's own width inside the channel mix.
    pub fn rwkv6_intermediate_size(hidden_size: usize) -> usize {
        hidden_size * 7 / 2 / 32 * 32
    }

    /// Returns everything that is wrong with the sizes.
    fn problems(&self) -> Vec<String> {
        let sizes = [
            ("hidden-size", self.hidden_size),
            ("intermediate-size", self.intermediate_size),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv-heads", self.kv_heads),
            ("vocab-size", self.vocab_size),
        ];
        let extreme = sizes
            .iter()
            .filter(|(_, size)| !(1..=LARGEST).contains(size));
        let mut problems: Vec<_> = extreme
            .map(|(name, size)| format!("--{name} is {size}; it must be from 1 to {LARGEST}"))
            .collect();
        if !problems.is_empty() {
            return problems;
        }
        let Self {
            hidden_size,
            heads,
            kv_heads,
            ..
        } = self;
        if !hidden_size.is_multiple_of(*heads) {
            problems.push(format!(
                "--heads {heads} does not divide --hidden-size {hidden_size}"
            ));
        }
        if self.architecture == Architecture::Llama2 {
            if !heads.is_multiple_of(*kv_heads) {
                problems.push(format!(
                    "--kv-heads {kv_heads} does not divide --heads {heads}"
                ));
            }
            if !(hidden_size / heads).is_multiple_of(2) {
                problems.push(
                    "--hidden-size / --heads must be even: rotary positions turn pairs".into(),
                );
            }
        }
        problems
    }

    fn config(&self) -> Value {
        match self.architecture {
            Architecture::Llama2 => json!({
                "model_type": "llama",
                "architectures": ["LlamaForCausalLM"],
                "hidden_size": self.hidden_size,
                "intermediate_size": self.intermediate_size,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "num_key_value_heads": self.kv_heads,
                "vocab_size": self.vocab_size,
                "max_position_embeddings": self.positions,
                "rms_norm_eps": 1e-5,
                "rope_theta": 10_000.0,
                "tie_word_embeddings": false,
                "hidden_act": "silu",
            }),
            Architecture::Rwkv6 => json!({
                "model_type": "rwkv6",
                "hidden_size": self.hidden_size,
                "intermediate_size": self.intermediate_size,
                "num_hidden_layers": self.layers,
                "head_size": self.hidden_size / self.heads,
                "vocab_size": self.vocab_size,
                "time_mix_extra_dim": SHIFT_RANK,
                "time_decay_extra_dim": DECAY_RANK,
            }),
        }
    }

    /// Returns names and shapes of its tensors, as the field's checkpoints have them.
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
                        ("time_faaaa", vec![self.heads, c / self.heads]),
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

    /// Writes it to `folder`, uniform in ±0.04 and norms that change nothing, in `dtype`.
    ///
    /// # Errors
    ///
    /// Sizes that no model has, weights that the memory does not hold, and from the file system.
    pub fn write(&self, folder: &Path, dtype: DType) -> Result<(), CommandError> {
        let problems = self.problems();
        if !problems.is_empty() {
            let problems = problems.join("\n  ");
            return Err(CommandError::usage(format!(
                "no model has these sizes:\n  {problems}"
            )));
        }
        let config = folder.join("config.json");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&config, self.config().to_string()))
            .map_err(CommandError::io(&config))?;
        let info = read_config(folder)?;
        check_weights((info.shape.parameters * dtype.size()) as u64)?;
        let mut state = 1u64;
        let mut uniform = move || {
            // xorshift64: quick, and as random as a stopwatch needs.
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
        // In shards: a whole model in memory would be in the memory that is measured.
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
            intermediate_size: 32,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            vocab_size: 24,
            positions: 64,
        }
    }

    #[test]
    fn it_is_a_checkpoint_of_its_architecture() {
        for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
            let folder = tempfile::tempdir().unwrap();
            model(architecture)
                .write(folder.path(), DType::BF16)
                .unwrap();
            let info = open(folder.path()).unwrap().info;
            assert_eq!(info.architecture, architecture);
            assert_eq!(info.stored_bytes, 2 * info.shape.parameters);
        }
    }

    #[test]
    fn every_impossible_size_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |model: RandomModel, named: &[&str]| {
            let error = model.write(folder.path(), DType::F32).unwrap_err();
            let error = error.to_string();
            for name in named {
                assert!(error.contains(name), "{error}");
            }
        };
        let llama = model(Architecture::Llama2);
        refused(
            RandomModel {
                heads: 3,
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
        // The largest that there are can still be counted.
        let huge = RandomModel {
            hidden_size: LARGEST,
            intermediate_size: LARGEST,
            heads: 1,
            kv_heads: 1,
            layers: 10_000,
            vocab_size: LARGEST,
            ..llama
        };
        refused(huge, &["weights"]);
    }
}
