//! A model of random weights, written as a checkpoint: what is measured on it is mapped from its file
//! as a person's is.

use bone_lm::checkpoint::{SaveError, save};
use bone_train::models::Architecture;
use burn::tensor::{DType, TensorData};
use serde_json::json;
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

/// Why a random model cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RandomModelError {
    /// Sizes that no model has; every one of them.
    #[error("no model has these sizes:\n  {}", .0.join("\n  "))]
    Sizes(Vec<String>),
    /// The checkpoint could not be written.
    #[error("the random model: {0}")]
    Save(#[from] SaveError),
    /// Its configuration could not be written.
    #[error("the random model: {0}")]
    Config(#[from] std::io::Error),
}

/// The largest of any of its sizes: their products are numbers yet.
pub const LARGEST: usize = 1 << 24;

/// Widths of RWKV6's low-rank parts, as RWKV makes them.
const SHIFT_RANK: usize = 32;
const DECAY_RANK: usize = 64;

impl RandomModel {
    /// RWKV6's own width inside the channel mix.
    pub fn rwkv6_intermediate_size(hidden_size: usize) -> usize {
        hidden_size * 7 / 2 / 32 * 32
    }

    /// Everything that is wrong with the sizes.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, size) in [
            ("hidden-size", self.hidden_size),
            ("intermediate-size", self.intermediate_size),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv-heads", self.kv_heads),
            ("vocab-size", self.vocab_size),
        ] {
            if size == 0 {
                problems.push(format!("--{name} is 0; it must be 1 or more"));
            }
            if size > LARGEST {
                problems.push(format!("--{name} is {size}; it can be {LARGEST} at most"));
            }
        }
        if !problems.is_empty() {
            return problems;
        }
        if !self.hidden_size.is_multiple_of(self.heads) {
            problems.push(format!(
                "--heads {} does not divide --hidden-size {}",
                self.heads, self.hidden_size
            ));
        }
        if self.architecture == Architecture::Llama2 {
            if !self.heads.is_multiple_of(self.kv_heads) {
                problems.push(format!(
                    "--kv-heads {} does not divide --heads {}",
                    self.kv_heads, self.heads
                ));
            }
            if !(self.hidden_size / self.heads).is_multiple_of(2) {
                problems.push(
                    "--hidden-size / --heads must be even: rotary positions turn pairs".into(),
                );
            }
        }
        problems
    }

    /// Names and shapes of its tensors, as the field's checkpoints have them.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        match self.architecture {
            Architecture::Llama2 => self.llama(),
            Architecture::Rwkv6 => self.rwkv6(),
        }
    }

    fn llama(&self) -> Vec<(String, Vec<usize>)> {
        let (h, f) = (self.hidden_size, self.intermediate_size);
        let kv = h / self.heads * self.kv_heads;
        let mut tensors = vec![
            (
                "model.embed_tokens.weight".to_string(),
                vec![self.vocab_size, h],
            ),
            ("model.norm.weight".to_string(), vec![h]),
            ("lm_head.weight".to_string(), vec![self.vocab_size, h]),
        ];
        for layer in 0..self.layers {
            let of_block: [(&str, Vec<usize>); 9] = [
                ("input_layernorm", vec![h]),
                ("self_attn.q_proj", vec![h, h]),
                ("self_attn.k_proj", vec![kv, h]),
                ("self_attn.v_proj", vec![kv, h]),
                ("self_attn.o_proj", vec![h, h]),
                ("post_attention_layernorm", vec![h]),
                ("mlp.gate_proj", vec![f, h]),
                ("mlp.up_proj", vec![f, h]),
                ("mlp.down_proj", vec![h, f]),
            ];
            let name = |of: &str| format!("model.layers.{layer}.{of}.weight");
            tensors.extend(of_block.map(|(of, shape)| (name(of), shape)));
        }
        tensors
    }

    fn rwkv6(&self) -> Vec<(String, Vec<usize>)> {
        let (c, f) = (self.hidden_size, self.intermediate_size);
        let mut tensors = vec![
            ("emb.weight".to_string(), vec![self.vocab_size, c]),
            ("head.weight".to_string(), vec![self.vocab_size, c]),
        ];
        let mut norms = vec!["ln_out".to_string(), "blocks.0.ln0".to_string()];
        for layer in 0..self.layers {
            let block = format!("blocks.{layer}");
            norms.extend(["ln1", "ln2", "att.ln_x"].map(|norm| format!("{block}.{norm}")));
            let rows = ["x", "w", "k", "v", "r", "g"].map(|of| format!("att.time_maa_{of}"));
            let rows = rows
                .into_iter()
                .chain(["att.time_decay", "ffn.time_maa_k", "ffn.time_maa_r"].map(str::to_string));
            tensors.extend(rows.map(|name| (format!("{block}.{name}"), vec![1, 1, c])));
            let squares = ["receptance", "key", "value", "gate", "output"]
                .map(|name| format!("att.{name}"))
                .into_iter()
                .chain(["ffn.receptance".to_string()]);
            tensors.extend(squares.map(|name| (format!("{block}.{name}.weight"), vec![c, c])));
            let others: [(&str, Vec<usize>); 7] = [
                ("att.time_maa_w1", vec![c, 5 * SHIFT_RANK]),
                ("att.time_maa_w2", vec![5, SHIFT_RANK, c]),
                ("att.time_decay_w1", vec![c, DECAY_RANK]),
                ("att.time_decay_w2", vec![DECAY_RANK, c]),
                ("att.time_faaaa", vec![self.heads, c / self.heads]),
                ("ffn.key.weight", vec![f, c]),
                ("ffn.value.weight", vec![c, f]),
            ];
            tensors.extend(others.map(|(name, shape)| (format!("{block}.{name}"), shape)));
        }
        for norm in norms {
            tensors.extend(["weight", "bias"].map(|of| (format!("{norm}.{of}"), vec![c])));
        }
        tensors
    }

    /// Its weights, as far as a number holds them.
    ///
    /// # Errors
    ///
    /// Sizes that no model has.
    pub fn parameters(&self) -> Result<u64, RandomModelError> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(RandomModelError::Sizes(problems));
        }
        // Every block is as large as the first.
        let of = |layers| {
            let tensors = Self {
                layers,
                ..self.clone()
            }
            .tensors();
            let sizes = tensors
                .iter()
                .map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>());
            sizes.sum::<u64>()
        };
        let (one, two) = (of(1), of(2));
        Ok(one.saturating_add((two - one).saturating_mul(self.layers as u64 - 1)))
    }

    /// Writes it to `folder`, uniform in ±0.04 and norms that change nothing, in `dtype`.
    ///
    /// # Errors
    ///
    /// [`RandomModelError`].
    pub fn write(&self, folder: &Path, dtype: DType) -> Result<(), RandomModelError> {
        self.parameters()?;
        let mut state = 1u64;
        let mut uniform = move || {
            // xorshift64: quick, and as random as a stopwatch needs.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let tensors = self.tensors().into_iter().map(|(name, shape)| {
            let count = shape.iter().product();
            let norm = name.contains("norm") || name.contains(".ln") || name.starts_with("ln");
            let values: Vec<f32> = match (norm, name.ends_with(".weight")) {
                (true, true) => vec![1.0; count],
                (true, false) => vec![0.0; count],
                (false, _) => (0..count).map(|_| 0.04 * uniform()).collect(),
            };
            (name, TensorData::new(values, shape).convert_dtype(dtype))
        });
        // In shards: a whole model in memory would be in the memory that is measured.
        save(folder, tensors, 1 << 26, Default::default())?;
        if self.architecture == Architecture::Llama2 {
            std::fs::write(folder.join("config.json"), self.llama_config())?;
        }
        Ok(())
    }

    fn llama_config(&self) -> String {
        json!({
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
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bone_train::models::inspect;

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
            let random = model(architecture);
            random.write(folder.path(), DType::BF16).unwrap();
            let info = inspect(folder.path(), true).unwrap();
            assert_eq!(info.architecture, architecture);
            let counted: usize = random
                .tensors()
                .iter()
                .map(|(_, s)| s.iter().product::<usize>())
                .sum();
            assert_eq!(info.shape.parameters, counted);
            assert_eq!(random.parameters().unwrap(), counted as u64);
            assert_eq!(info.stored_bytes, 2 * counted);
        }
    }

    #[test]
    fn every_impossible_size_is_named() {
        let impossible = RandomModel {
            heads: 3,
            kv_heads: 2,
            ..model(Architecture::Llama2)
        };
        let folder = tempfile::tempdir().unwrap();
        let error = impossible
            .write(folder.path(), DType::F32)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("--heads 3") && error.contains("--kv-heads 2"),
            "{error}"
        );
        let none = RandomModel {
            layers: 0,
            vocab_size: 0,
            ..model(Architecture::Rwkv6)
        };
        let error = none
            .write(folder.path(), DType::F32)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("--layers") && error.contains("--vocab-size"),
            "{error}"
        );
        let huge = RandomModel {
            hidden_size: LARGEST,
            intermediate_size: LARGEST,
            heads: 1,
            kv_heads: 1,
            layers: LARGEST,
            vocab_size: LARGEST,
            ..model(Architecture::Llama2)
        };
        assert_eq!(huge.parameters().unwrap(), u64::MAX);
        let error = RandomModel {
            layers: LARGEST + 1,
            ..huge
        }
        .parameters()
        .unwrap_err();
        assert!(error.to_string().contains("--layers"), "{error}");
    }
}
