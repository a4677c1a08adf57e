//! `bone bench generate`: prompts continued, timed.

use super::{ModelArgs, Opened, RunArgs, Scratch, refuse_extremes, usage};
use crate::bench::{Apart, Parts};
use crate::commands::{CommandError, say_json};
use bone_lm::CausalLm;
use bone_lm::generate::{GenerateConfig, GenerateError, generate};
use bone_lm::sampling::SamplingConfig;
use bone_train::device::{self, DeviceName, Kind, OnDevice};
use bone_train::memory::{available_memory, human, peak_resident_bytes};
use bone_train::models::{Architecture, ModelBackend, WithModel, with_model};
use bone_train::step::{TrainBackend, TrainModel};
use serde_json::json;
use std::time::Instant;

/// The model and the prompts.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchGenerateArgs {
    /// The model
    #[command(flatten)]
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
    pub run: RunArgs,
}

impl BenchGenerateArgs {
    /// Bytes of every token's keys and values, or of what goes through a block of RWKV6 at once.
    fn carried(&self, opened: &Opened) -> u64 {
        let shape = &opened.info.shape;
        let [hidden_size, layers] = [shape.hidden_size, shape.num_layers].map(|size| size as u64);
        let (tokens, of_token) = match opened.info.architecture {
            Architecture::Llama2 => (
                self.prompt_len + self.max_new_tokens,
                2 * 4 * hidden_size.saturating_mul(layers),
            ),
            Architecture::Rwkv6 => (self.prompt_len, 4 * hidden_size),
        };
        let tokens = (tokens as u64).saturating_mul(self.batch_size as u64);
        tokens.saturating_mul(of_token)
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
        return Err(usage(
            "--max-new-tokens must be 2 or more: the first comes with the prompt",
        ));
    }
    let (device, _) = device::choose(&args.run.device)?;
    let mut opened = args
        .model
        .open(args.prompt_len + args.max_new_tokens, None)?;
    let positions = opened.info.positions.unwrap_or(usize::MAX);
    if args.prompt_len + args.max_new_tokens > positions {
        return Err(usage(format!(
            "--prompt-len and --max-new-tokens come to more than the model's {positions} positions"
        )));
    }
    if device.name.kind == Kind::Cpu {
        let (bytes, limit) = (args.carried(&opened), available_memory());
        if bytes > limit.bytes {
            return Err(usage(format!(
                "--batch-size, --prompt-len and --max-new-tokens: what is kept of the tokens would take {}, \
                 and {} has {} to give",
                human(bytes),
                limit.source,
                human(limit.bytes)
            )));
        }
    }
    let work = Work {
        scratch: opened.scratch.take(),
        opened: &opened,
        args,
    };
    let (mut rounds, parts) = device::on_device(device.name, args.run.fusion, work)??;
    rounds.sort_by(|a, b| (a.first + a.rest).total_cmp(&(b.first + b.rest)));
    report(&opened, args, device.name, rounds[rounds.len() / 2]);
    if !args.run.json {
        line!("\n{}", parts.table(device.name.kind));
    }
    Ok(())
}

struct Work<'a> {
    scratch: Scratch,
    opened: &'a Opened,
    args: &'a BenchGenerateArgs,
}

impl OnDevice for Work<'_> {
    type Output = Result<(Vec<Round>, Apart), CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let source = &self.opened.source;
        let work = OnModel::<B> {
            scratch: self.scratch,
            args: self.args,
            device: device.clone(),
        };
        Ok(with_model::<B, _>(source, &device, work)??)
    }
}

struct OnModel<'a, B: TrainBackend> {
    scratch: Scratch,
    args: &'a BenchGenerateArgs,
    device: B::Device,
}

impl<B: TrainBackend> WithModel<B> for OnModel<'_, B> {
    type Output = Result<(Vec<Round>, Apart), GenerateError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let Self {
            scratch,
            args,
            device,
        } = self;
        drop(scratch);
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
            generate(&model, &prompts, &config, &device, |_, _| {
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
        let rounds = rounds.collect::<Result<Vec<_>, GenerateError>>()?;
        let (last, apart) = Parts::on::<B>(&device).of(round);
        last?;
        Ok((rounds, apart))
    }
}

fn report(opened: &Opened, args: &BenchGenerateArgs, device: DeviceName, round: Round) {
    let rows = args.batch_size as f64;
    let prompt = rows * args.prompt_len as f64 / round.first;
    let after = rows * (args.max_new_tokens - 1) as f64 / round.rest;
    let all = rows * args.max_new_tokens as f64 / (round.first + round.rest);
    let peak = peak_resident_bytes();
    if args.run.json {
        let found = json!({
            "model": opened.to_json(),
            "device": device.to_string(),
            "threads": rayon::current_num_threads(),
            "batch_size": args.batch_size,
            "prompt_len": args.prompt_len,
            "max_new_tokens": args.max_new_tokens,
            "rounds": args.rounds,
            "tokens_per_second": all,
            "prompt_tokens_per_second": prompt,
            "decode_tokens_per_second": after,
            "peak_resident_mb": peak as f64 / 1e6,
        });
        say_json(&found);
        return;
    }
    line!("{}", opened.describe());
    line!(
        "{} prompts of {} tokens, {} new ones each, on {device}",
        args.batch_size,
        args.prompt_len,
        args.max_new_tokens
    );
    line!("\nprompts    {prompt:.1} tokens/s");
    line!("decoding   {after:.1} tokens/s");
    line!("new tokens {all:.1} tokens/s in all");
    line!("memory     {} at most", human(peak));
}
