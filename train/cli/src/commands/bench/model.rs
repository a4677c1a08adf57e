//! The model that a benchmark runs.

use super::random::RandomModel;
use crate::error::CommandError;
use bone_data::grouped;
use bone_lm::checkpoint::burn_dtype;
use bone_train::device::{Capabilities, DtypeChoice, Precision};
use bone_train::models::{self, ModelInfo, OpenModel};
use bone_train::report::tell;
use burn::tensor::DType;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The model.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Model: a Hugging Face folder, or a .pth or .safetensors file of RWKV [default: random weights]
    #[arg(long, value_name = "DIR|FILE", conflicts_with = "RandomModel")]
    pub model: Option<PathBuf>,
    /// Sizes of a random one
    #[command(flatten)]
    pub random: RandomModel,
}

impl ModelArgs {
    /// Opens the user's model, or writes a random one in `dtype` for sequences of `len` tokens.
    pub(super) fn open(&self, len: usize, dtype: DtypeChoice) -> Result<OpenModel, CommandError> {
        if let Some(path) = &self.model {
            return Ok(models::open(path)?);
        }
        let scratch = tempfile::tempdir().map_err(CommandError::io(&std::env::temp_dir()))?;
        tell(&format!("random weights: {}", scratch.path().display()));
        let folder = scratch.path().join("model");
        let dtype = dtype.dtype().unwrap_or(DType::F32);
        self.random.write(&folder, len, dtype)?;
        Ok(models::open(&folder)?)
    }
}

/// Facts about the model of a benchmark.
pub(super) struct Ran {
    /// `LLaMA2 768 × 12, vocabulary 32000, 134,105,856 parameters in f32`.
    pub(super) line: String,
    /// The same as JSON.
    pub(super) model: Value,
}

impl Ran {
    pub(super) fn of(info: &ModelInfo, precision: &Precision) -> Self {
        let stored = info.stored.and_then(burn_dtype);
        let held = precision.convert.map(DType::from).or(stored);
        let dtype = Capabilities::names(&[held.unwrap_or(DType::F32)]).to_string();
        let (name, shape) = (info.architecture.name(), &info.shape);
        Self {
            line: format!(
                "{name} {} × {}, vocabulary {}, {} parameters in {dtype}",
                shape.hidden_size,
                shape.num_layers,
                shape.vocab_size,
                grouped(shape.parameters)
            ),
            model: json!({
                "architecture": name,
                "hidden_size": shape.hidden_size,
                "intermediate_size": shape.intermediate_size,
                "layers": shape.num_layers,
                "vocab_size": shape.vocab_size,
                "parameters": shape.parameters,
                "bytes": shape.parameters * precision.bytes,
                "dtype": dtype,
            }),
        }
    }
}

/// Rejects sequences of `len` tokens, set by `flags`, that are longer than the model allows.
pub(super) fn refuse_long(info: &ModelInfo, len: usize, flags: &str) -> Result<(), CommandError> {
    match info.positions {
        Some(most) if len > most => Err(CommandError::usage(format!(
            "{flags}: {len} tokens exceed the model's {most} positions"
        ))),
        _ => Ok(()),
    }
}
