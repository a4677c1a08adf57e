//! `bone bench`: a training step, or the continuing of prompts, of a model of given size, timed.

use super::CommandError;
use crate::bench::{LARGEST, RandomModel, RandomModelError};
use bone_lm::checkpoint::{Checkpoint, burn_dtype};
use bone_train::config::DtypeChoice;
use bone_train::device::Capabilities;
use bone_train::memory::{check_weights, human};
use bone_train::models::{self, Architecture, ModelInfo, ModelSource};
use bone_train::report::tell;
use burn::tensor::DType;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub mod generate;
pub mod operations;
mod report;
pub mod train;

/// What to time.
#[derive(Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// Time a training step: median, tokens/s, memory, the share of each part, and what the step's
    /// products alone would take
    Train(Box<train::BenchTrainArgs>),
    /// Time the continuing of prompts: of a batch of prompts, and of each token after them
    Generate(Box<generate::BenchGenerateArgs>),
    /// Time each operation that has a kernel or a backward of its own, against the same written in
    /// burn's operations
    Operations(Box<operations::BenchOperationsArgs>),
}

/// Runs a benchmark.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(command: &BenchCommand) -> Result<(), CommandError> {
    match command {
        BenchCommand::Train(args) => train::run(args),
        BenchCommand::Generate(args) => generate::run(args),
        BenchCommand::Operations(args) => operations::run(args),
    }
}

/// Where a benchmark runs, and how what it found is told.
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
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
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
    /// Precision the base weights are held in: f32, bf16, f16 [default: f32; a model of one's own: as
    /// its file]
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
}

/// A model that is there.
struct Opened {
    source: ModelSource,
    info: ModelInfo,
    /// What its weights are held in.
    dtype: DType,
    /// The folder of a random one.
    scratch: Scratch,
}

/// A folder that is not needed any more once its files are mapped.
type Scratch = Option<TempDir>;

impl ModelArgs {
    /// Reads the headers of a model, or writes a random one for sequences of `len` tokens; held in
    /// `auto` unless the arguments name a precision.
    fn open(&self, len: usize, auto: Option<DType>) -> Result<Opened, CommandError> {
        self.refuse_what_is_ignored()?;
        let (folder, convert, scratch) = match &self.model {
            Some(folder) => (folder.clone(), self.dtype.dtype().or(auto), None),
            None => {
                let scratch =
                    tempfile::tempdir().map_err(CommandError::io(&std::env::temp_dir()))?;
                let folder = scratch.path().join("model");
                let random = self.random(len);
                let dtype = self.dtype.dtype().unwrap_or(DType::F32);
                let failed = |error: RandomModelError| usage(error.to_string());
                let bytes = random.parameters().map_err(failed)?;
                let bytes = bytes.saturating_mul(dtype.size() as u64);
                check_weights(bytes)?;
                tell(&format!(
                    "a random model of {} goes to {} until it is loaded",
                    human(bytes),
                    scratch.path().display()
                ));
                random.write(&folder, dtype).map_err(failed)?;
                (folder, None, Some(scratch))
            }
        };
        let info = models::inspect(&folder, true)?;
        let stored = info.stored.and_then(burn_dtype);
        Ok(Opened {
            dtype: convert.or(stored).unwrap_or(DType::F32),
            source: ModelSource {
                folder,
                dtype: convert.map(Into::into),
                random: None,
            },
            info,
            scratch,
        })
    }

    /// Sizes go with a random model, and heads of keys and values with a LLaMA.
    fn refuse_what_is_ignored(&self) -> Result<(), CommandError> {
        let given = [
            ("--arch", self.arch.is_some()),
            ("--hidden-size", self.hidden_size.is_some()),
            ("--intermediate-size", self.intermediate_size.is_some()),
            ("--layers", self.layers.is_some()),
            ("--heads", self.heads.is_some()),
            ("--kv-heads", self.kv_heads.is_some()),
            ("--vocab-size", self.vocab_size.is_some()),
        ];
        let given = given.iter().filter(|(_, given)| *given);
        let names: Vec<_> = given.map(|(name, _)| *name).collect();
        if self.model.is_some() && !names.is_empty() {
            let names = names.join(", ");
            return Err(usage(format!("{names}: --model has sizes of its own")));
        }
        if self.architecture() == Architecture::Rwkv6 && self.kv_heads.is_some() {
            return Err(usage("--kv-heads: RWKV6 has no heads of keys and values"));
        }
        Ok(())
    }

    fn architecture(&self) -> Architecture {
        match self.arch.as_deref() {
            Some("rwkv6") => Architecture::Rwkv6,
            _ => Architecture::Llama2,
        }
    }

    fn random(&self, len: usize) -> RandomModel {
        let architecture = self.architecture();
        let hidden_size = self.hidden_size.unwrap_or(768);
        // More is refused when it is made.
        let width = hidden_size.min(LARGEST);
        let heads = self.heads.unwrap_or((hidden_size / 64).max(1));
        RandomModel {
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
        }
    }
}

impl Opened {
    /// What it is.
    fn to_json(&self) -> serde_json::Value {
        let shape = &self.info.shape;
        serde_json::json!({
            "architecture": self.info.architecture.name(),
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.intermediate_size,
            "layers": shape.num_layers,
            "vocab_size": shape.vocab_size,
            "parameters": shape.parameters,
            "bytes": self.info.stored_bytes,
            "dtype": Capabilities::names(&[self.dtype]).to_string(),
        })
    }

    /// `LLaMA2 768 × 12, vocabulary 32000, 134,105,856 parameters in f32`.
    fn describe(&self) -> String {
        let shape = &self.info.shape;
        format!(
            "{} {} × {}, vocabulary {}, {} parameters in {}",
            self.info.architecture.name(),
            shape.hidden_size,
            shape.num_layers,
            shape.vocab_size,
            bone_data::grouped(shape.parameters),
            Capabilities::names(&[self.dtype])
        )
    }
}

/// What reading the bytes of a model's files takes once they are in the system's cache, which is where
/// they are after this.
fn read_twice(model: &Path) -> Result<Duration, CommandError> {
    let checkpoint = Checkpoint::open_path(model).map_err(models::ModelError::from)?;
    let mut buffer = vec![0; 1 << 20];
    let mut time = Duration::ZERO;
    for _ in 0..2 {
        let started = Instant::now();
        for path in checkpoint.files() {
            let failed = CommandError::io(path);
            let all = File::open(path).and_then(|mut file| {
                while file.read(&mut buffer)? > 0 {}
                Ok(())
            });
            all.map_err(failed)?;
        }
        time = started.elapsed();
    }
    Ok(time)
}

fn usage(message: impl Into<String>) -> CommandError {
    CommandError::Usage(message.into())
}

/// Refuses numbers that must not be 0 or are beyond all measure, all of them.
fn refuse_extremes(counts: &[(&str, usize)]) -> Result<(), CommandError> {
    let extreme = counts
        .iter()
        .filter(|(_, count)| !(1..=LARGEST).contains(count));
    let names: Vec<_> = extreme.map(|(name, _)| format!("--{name}")).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(usage(format!(
            "{} must be 1 or more, and {LARGEST} at most",
            names.join(", ")
        ))),
    }
}
