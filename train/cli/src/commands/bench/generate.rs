//! `bone bench generate`: times the continuation of prompts.

use super::model::{ModelArgs, Ran, refuse_long};
use super::parts::{Apart, Parts};
use super::{COUNTS, refuse_extremes};
use crate::error::CommandError;
use crate::output::{line, say_json};
use crate::work::{Load, Work};
use bone_lm::CausalLm;
use bone_lm::generate::{GenerateConfig, generate};
use bone_lm::sampling::SamplingConfig;
use bone_train::config::DtypeChoice;
use bone_train::device::{self, Kind, precision};
use bone_train::memory::{available_memory, human, peak_resident_bytes};
use bone_train::models::{Architecture, ModelInfo};
use bone_train::step::{TrainBackend, TrainModel};
use serde_json::json;
use std::time::Instant;

/// The model and the prompts.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchGenerateArgs {
    /// Precision of the weights: auto, f32, bf16, f16
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
    /// Prompts per batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub batch_size: usize,
    /// Tokens per prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub prompt_len: usize,
    /// New tokens per prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_new_tokens: usize,
    /// Repetitions; the median is reported
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: usize,
    /// Device: auto, or a name that `bone devices` lists
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
    /// GPU: fuse neighbouring operations into one kernel
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub fusion: bool,
    /// Print one line of JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
}

impl BenchGenerateArgs {
    /// Rejects more tokens than memory can hold: keys and values, or the tokens that pass through a block
    /// of RWKV6 at once.
    fn check_memory(&self, info: &ModelInfo) -> Result<(), CommandError> {
        let tokens = self.prompt_len + self.max_new_tokens;
        let kept = match info.architecture {
            Architecture::Llama2 => 2 * info.shape.num_layers * tokens,
            Architecture::Rwkv6 => self.prompt_len,
        };
        let floats = kept as f64 * self.batch_size as f64 * info.shape.hidden_size as f64;
        let (bytes, limit) = ((4.0 * floats) as u64, available_memory());
        if bytes <= limit.bytes {
            return Ok(());
        }
        Err(CommandError::usage(format!(
            "--batch-size, --prompt-len and --max-new-tokens: the cache would need {}, but {} has {} \
             available",
            human(bytes),
            limit.source,
            human(limit.bytes)
        )))
    }
}

/// Runs the benchmark.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &BenchGenerateArgs) -> Result<(), CommandError> {
    let counts = [
        ("batch_size", args.batch_size),
        ("prompt_len", args.prompt_len),
        ("max_new_tokens", args.max_new_tokens),
        ("rounds", args.rounds),
    ];
    refuse_extremes(&counts, COUNTS)?;
    if args.max_new_tokens < 2 {
        return Err(CommandError::usage(
            "--max-new-tokens must be at least 2: the time of the first new token counts as prompt time",
        ));
    }
    let (device, _) = device::choose(&args.device)?;
    let len = args.prompt_len + args.max_new_tokens;
    let model = args.model.open(len, args.dtype)?;
    refuse_long(&model.info, len, "--prompt-len and --max-new-tokens")?;
    let kind = device.name.kind;
    if kind == Kind::Cpu {
        args.check_memory(&model.info)?;
    }
    let precision = precision::choose(args.dtype, &model.info, device.name)?;
    let ran = Ran::of(&model.info, &precision);
    let load = Load {
        model,
        adapter: None,
        dtype: precision.convert,
        device: device.name,
        fusion: args.fusion,
    };
    let (mut rounds, apart) = load.with(Rounds(args))?;
    rounds.sort_by(|a, b| (a.first + a.rest).total_cmp(&(b.first + b.rest)));
    let Round { first, rest } = rounds[rounds.len() / 2];
    let rows = args.batch_size as f64;
    let prompt_tokens_per_second = rows * args.prompt_len as f64 / first;
    let decode_tokens_per_second = rows * (args.max_new_tokens - 1) as f64 / rest;
    // New tokens over the whole time.
    let tokens_per_second = rows * args.max_new_tokens as f64 / (first + rest);
    let peak = peak_resident_bytes();
    if args.json {
        say_json(&json!({
            "model": ran.model,
            "device": device.name.to_string(),
            "threads": rayon::current_num_threads(),
            "batch_size": args.batch_size,
            "prompt_len": args.prompt_len,
            "max_new_tokens": args.max_new_tokens,
            "rounds": args.rounds,
            "tokens_per_second": tokens_per_second,
            "prompt_tokens_per_second": prompt_tokens_per_second,
            "decode_tokens_per_second": decode_tokens_per_second,
            "peak_resident_mb": peak as f64 / 1e6,
            "parts": apart.parts,
            "taken_apart_seconds": apart.whole,
            "device_bytes": apart.device_bytes,
        }));
        return Ok(());
    }
    line!("{}", ran.line);
    line!(
        "{} prompts of {} tokens, {} new tokens each, on {}",
        args.batch_size,
        args.prompt_len,
        args.max_new_tokens,
        device.name
    );
    line!("\nprompts    {prompt_tokens_per_second:.1} tokens/s");
    line!("decoding   {decode_tokens_per_second:.1} tokens/s");
    line!("new tokens {tokens_per_second:.1} tokens/s, including the time for the prompts");
    line!("memory     {} peak", human(peak));
    line!("\n{}", apart.table(kind));
    Ok(())
}

/// Seconds of a round.
struct Round {
    /// Until the first token of every prompt.
    first: f64,
    /// From the first token to the end.
    rest: f64,
}

/// Prompts that are continued repeatedly.
struct Rounds<'a>(&'a BenchGenerateArgs);

impl Work for Rounds<'_> {
    type Output = (Vec<Round>, Apart);

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<Self::Output, CommandError> {
        let args = self.0;
        let model = model.valid();
        let vocab_size = model.vocab_size();
        let prompts: Vec<Vec<u32>> = (0..args.batch_size)
            .map(|row| {
                let token = |i| ((row * 31 + i) * 7919 % vocab_size) as u32;
                (0..args.prompt_len).map(token).collect()
            })
            .collect();
        let config = GenerateConfig {
            sampling: SamplingConfig::default(),
            max_new_tokens: args.max_new_tokens,
            stop: Vec::new(),
        };
        let round = || {
            let started = Instant::now();
            let (mut tokens, mut first) = (0, 0.0);
            generate(&model, &prompts, &config, device, |_, _| {
                tokens += 1;
                if tokens == prompts.len() {
                    first = started.elapsed().as_secs_f64();
                }
            })?;
            let rest = started.elapsed().as_secs_f64() - first;
            Ok(Round { first, rest })
        };
        // Warm-up.
        round()?;
        let rounds = (0..args.rounds).map(|_| round());
        let rounds = rounds.collect::<Result<Vec<_>, CommandError>>()?;
        let (last, apart) = Parts::on::<B>(device).of(round);
        last?;
        Ok((rounds, apart))
    }
}
