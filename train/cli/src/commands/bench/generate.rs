//! `bone bench generate`: prompts continued, timed.

use super::model::{ModelArgs, Ran, RunArgs, refuse_extremes};
use super::parts::{Apart, Parts};
use crate::error::CommandError;
use crate::output::{line, say_json};
use crate::work::Work;
use bone_lm::CausalLm;
use bone_lm::generate::{GenerateConfig, generate};
use bone_lm::sampling::SamplingConfig;
use bone_train::device::{self, Kind};
use bone_train::memory::{available_memory, human, peak_resident_bytes};
use bone_train::models::{Architecture, ModelInfo};
use bone_train::step::{TrainBackend, TrainModel};
use serde::Serialize;
use std::time::Instant;

/// The model and the prompts.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct BenchGenerateArgs {
    /// The model
    #[command(flatten)]
    #[serde(skip)]
    pub model: ModelArgs,
    /// Prompts that go through the model together
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub batch_size: usize,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub prompt_len: usize,
    /// Tokens that each gets, the most likely ones
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_new_tokens: usize,
    /// Times that all is done; the median counts
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: usize,
    /// Where, and how it is told
    #[command(flatten)]
    #[serde(skip)]
    pub run: RunArgs,
}

impl BenchGenerateArgs {
    /// Returns the bytes of every token's keys and values, or of what goes through a block of RWKV6
    /// at once.
    fn carried(&self, info: &ModelInfo) -> u64 {
        let (tokens, values) = match info.architecture {
            Architecture::Llama2 => {
                let tokens = self.prompt_len + self.max_new_tokens;
                (tokens, info.shape.num_layers.saturating_mul(2))
            }
            Architecture::Rwkv6 => (self.prompt_len, 1),
        };
        let factors = [tokens, self.batch_size, values, info.shape.hidden_size];
        factors
            .iter()
            .fold(4, |bytes: u64, factor| bytes.saturating_mul(*factor as u64))
    }
}

/// Seconds of a round.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// To the first token of every prompt.
    first: f64,
    /// From there to the end.
    rest: f64,
}

/// What was run, and what was measured.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    ran: Ran,
    #[serde(flatten)]
    args: &'a BenchGenerateArgs,
    /// New ones, over the whole time.
    tokens_per_second: f64,
    prompt_tokens_per_second: f64,
    decode_tokens_per_second: f64,
    peak_resident_mb: f64,
    /// One more round.
    #[serde(flatten)]
    apart: Apart,
}

/// Runs it.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &BenchGenerateArgs) -> Result<(), CommandError> {
    refuse_extremes(&[
        ("batch-size", args.batch_size),
        ("prompt-len", args.prompt_len),
        ("max-new-tokens", args.max_new_tokens),
        ("rounds", args.rounds),
    ])?;
    if args.max_new_tokens < 2 {
        return Err(CommandError::usage(
            "--max-new-tokens must be 2 or more: the first comes with the prompt",
        ));
    }
    let (device, _) = device::choose(&args.run.device)?;
    let len = args.prompt_len + args.max_new_tokens;
    let opened = args.model.choose(len)?.open(args.model.dtype.dtype())?;
    let info = &opened.model.info;
    if let Some(positions) = info.positions.filter(|most| len > *most) {
        return Err(CommandError::usage(format!(
            "--prompt-len and --max-new-tokens come to more than the model's {positions} positions"
        )));
    }
    if device.name.kind == Kind::Cpu {
        let (bytes, limit) = (args.carried(info), available_memory());
        if bytes > limit.bytes {
            return Err(CommandError::usage(format!(
                "--batch-size, --prompt-len and --max-new-tokens: what is kept of the tokens would take {}, \
                 and {} has {} to give",
                human(bytes),
                limit.source,
                human(limit.bytes)
            )));
        }
    }
    let ran = opened.report(device.name);
    let load = opened.load(device.name, args.run.fusion);
    let (mut rounds, apart) = load.with(Rounds(args))?;
    rounds.sort_by(|a, b| (a.first + a.rest).total_cmp(&(b.first + b.rest)));
    let Round { first, rest } = rounds[rounds.len() / 2];
    let rows = args.batch_size as f64;
    let report = Report {
        ran,
        args,
        tokens_per_second: rows * args.max_new_tokens as f64 / (first + rest),
        prompt_tokens_per_second: rows * args.prompt_len as f64 / first,
        decode_tokens_per_second: rows * (args.max_new_tokens - 1) as f64 / rest,
        peak_resident_mb: peak_resident_bytes() as f64 / 1e6,
        apart,
    };
    if args.run.json {
        say_json(&report);
    } else {
        report.print(device.name.kind);
    }
    Ok(())
}

impl Report<'_> {
    fn print(&self, kind: Kind) {
        line!("{}", self.ran.model);
        line!(
            "{} prompts of {} tokens, {} new ones each, on {}",
            self.args.batch_size,
            self.args.prompt_len,
            self.args.max_new_tokens,
            self.ran.device
        );
        line!("\nprompts    {:.1} tokens/s", self.prompt_tokens_per_second);
        line!("decoding   {:.1} tokens/s", self.decode_tokens_per_second);
        line!("new tokens {:.1} tokens/s in all", self.tokens_per_second);
        let peak = human((self.peak_resident_mb * 1e6) as u64);
        line!("memory     {peak} at most");
        line!("\n{}", self.apart.table(kind));
    }
}

/// Prompts that are continued again and again.
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
        // To warm up.
        round()?;
        let rounds = (0..args.rounds).map(|_| round());
        let rounds = rounds.collect::<Result<Vec<_>, CommandError>>()?;
        let (last, apart) = Parts::on::<B>(device).of(round);
        last?;
        Ok((rounds, apart))
    }
}
