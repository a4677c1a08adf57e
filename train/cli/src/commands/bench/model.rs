//! The model that a benchmark runs, and where it runs.

use super::random::{LARGEST, RandomModel};
use crate::error::CommandError;
use crate::work::Load;
use bone_data::grouped;
use bone_lm::checkpoint::burn_dtype;
use bone_train::config::DtypeChoice;
use bone_train::device::{Capabilities, DeviceName};
use bone_train::models::{self, Architecture, OpenModel};
use bone_train::report::tell;
use burn::tensor::DType;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Where a benchmark runs, and how its result is shown.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// What to run on; `bone devices` lists it
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
    /// On a GPU, run neighbouring operations as one
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub fusion: bool,
    /// Print one line of JSON instead of the tables
    #[arg(long)]
    pub json: bool,
}

/// The model.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// A model of one's own: a Hugging Face folder, or RWKV's .pth or .safetensors [default: random
    /// weights of the sizes below]
    #[arg(long, value_name = "DIR|FILE", conflicts_with = "SizeArgs")]
    pub model: Option<PathBuf>,
    /// Sizes of a random one
    #[command(flatten)]
    pub sizes: SizeArgs,
    /// Precision the base weights are held in: f32, bf16, f16 [default: f32; a model of one's own: as
    /// its file]
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
}

/// Sizes of a random model.
#[derive(Debug, Clone, clap::Args)]
pub struct SizeArgs {
    /// Architecture of the random model [default: llama2]
    #[arg(long, value_name = "NAME", value_parser = ["llama2", "rwkv6"])]
    pub arch: Option<String>,
    /// Width of the residual stream [default: 768]
    #[arg(long, value_name = "N")]
    pub hidden_size: Option<usize>,
    /// Width inside the feed-forward part [default: as LLaMA2 has it, 8/3 of the
    /// hidden size and up to the next 256; RWKV6: 7/2]
    #[arg(long, value_name = "N")]
    pub intermediate_size: Option<usize>,
    /// Blocks [default: 12]
    #[arg(long, value_name = "N")]
    pub layers: Option<usize>,
    /// Heads [default: one for each 64 of the hidden size]
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
    /// Heads of keys and values, of LLaMA2 [default: as many as heads]
    #[arg(long, value_name = "N")]
    pub kv_heads: Option<usize>,
    /// Entries of the vocabulary [default: 32,000]
    #[arg(long, value_name = "N")]
    pub vocab_size: Option<usize>,
}

/// A model that is not opened or made yet.
pub(super) enum Chosen {
    Own(Box<OpenModel>),
    Random(RandomModel),
}

impl ModelArgs {
    /// Opens a person's model, or chooses the sizes of a random one for sequences of `len` tokens.
    pub(super) fn choose(&self, len: usize) -> Result<Chosen, CommandError> {
        match &self.model {
            Some(path) => Ok(Chosen::Own(Box::new(models::open(path)?))),
            None => Ok(Chosen::Random(self.sizes.model(len)?)),
        }
    }
}

impl SizeArgs {
    fn model(&self, len: usize) -> Result<RandomModel, CommandError> {
        let architecture = match self.arch.as_deref() {
            Some("rwkv6") => Architecture::Rwkv6,
            _ => Architecture::Llama2,
        };
        if architecture == Architecture::Rwkv6 && self.kv_heads.is_some() {
            return Err(CommandError::usage(
                "--kv-heads: RWKV6 has no heads of keys and values",
            ));
        }
        let hidden_size = self.hidden_size.unwrap_or(768);
        // More is refused when it is made.
        let width = hidden_size.min(LARGEST);
        let heads = self.heads.unwrap_or((hidden_size / 64).max(1));
        Ok(RandomModel {
            architecture,
            hidden_size,
            intermediate_size: self.intermediate_size.unwrap_or(match architecture {
                Architecture::Llama2 => (width * 8 / 3).next_multiple_of(256),
                Architecture::Rwkv6 => RandomModel::rwkv6_intermediate_size(width),
            }),
            layers: self.layers.unwrap_or(12),
            heads,
            kv_heads: self.kv_heads.unwrap_or(heads),
            vocab_size: self.vocab_size.unwrap_or(32_000),
            positions: len.max(2048),
        })
    }
}

/// A model that is open.
pub(super) struct Opened {
    pub(super) model: OpenModel,
    /// What its weights are converted to; `None` for what its files hold.
    convert: Option<DType>,
    /// What they are held in.
    dtype: DType,
}

impl Chosen {
    pub(super) fn architecture(&self) -> Architecture {
        match self {
            Self::Own(model) => model.info.architecture,
            Self::Random(random) => random.architecture,
        }
    }

    /// Returns the model, its weights to be held in `dtype`; a random one is written for it.
    pub(super) fn open(self, dtype: Option<DType>) -> Result<Opened, CommandError> {
        let (model, convert) = match self {
            Self::Own(model) => (*model, dtype),
            Self::Random(random) => {
                let scratch =
                    tempfile::tempdir().map_err(CommandError::io(&std::env::temp_dir()))?;
                let place = scratch.path().display();
                tell(&format!(
                    "random weights go to {place} until they are mapped"
                ));
                let folder = scratch.path().join("model");
                random.write(&folder, dtype.unwrap_or(DType::F32))?;
                (models::open(&folder)?, None)
            }
        };
        let stored = model.info.stored.and_then(burn_dtype);
        Ok(Opened {
            dtype: convert.or(stored).unwrap_or(DType::F32),
            model,
            convert,
        })
    }
}

/// What a benchmark ran, and on what.
#[derive(Debug, Serialize)]
pub(super) struct Ran {
    pub(super) model: ModelReport,
    pub(super) device: String,
    threads: usize,
}

/// What a benchmark says of its model.
#[derive(Debug, Serialize)]
pub(super) struct ModelReport {
    architecture: &'static str,
    hidden_size: usize,
    intermediate_size: usize,
    layers: usize,
    vocab_size: usize,
    parameters: usize,
    bytes: usize,
    dtype: String,
}

impl Opened {
    pub(super) fn load(self, device: DeviceName, fusion: bool) -> Load {
        Load {
            model: self.model,
            adapter: None,
            dtype: self.convert.map(Into::into),
            device,
            fusion,
        }
    }

    pub(super) fn report(&self, device: DeviceName) -> Ran {
        let (info, shape) = (&self.model.info, &self.model.info.shape);
        let model = ModelReport {
            architecture: info.architecture.name(),
            hidden_size: shape.hidden_size,
            intermediate_size: shape.intermediate_size,
            layers: shape.num_layers,
            vocab_size: shape.vocab_size,
            parameters: shape.parameters,
            bytes: info.stored_bytes,
            dtype: Capabilities::names(&[self.dtype]).to_string(),
        };
        Ran {
            model,
            device: device.to_string(),
            threads: rayon::current_num_threads(),
        }
    }
}

impl fmt::Display for ModelReport {
    /// `LLaMA2 768 × 12, vocabulary 32000, 134,105,856 parameters in f32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} × {}, vocabulary {}, {} parameters in {}",
            self.architecture,
            self.hidden_size,
            self.layers,
            self.vocab_size,
            grouped(self.parameters),
            self.dtype
        )
    }
}

/// Refuses counts that are 0 or beyond all measure, all of them.
pub(super) fn refuse_extremes(counts: &[(&str, usize)]) -> Result<(), CommandError> {
    const MOST: usize = 1 << 24;
    let extreme = counts
        .iter()
        .filter(|(_, count)| !(1..=MOST).contains(count));
    let names: Vec<_> = extreme.map(|(name, _)| format!("--{name}")).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(CommandError::usage(format!(
        "{} must be from 1 to {MOST}",
        names.join(", ")
    )))
}
