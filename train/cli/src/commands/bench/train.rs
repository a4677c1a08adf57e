//! `bone bench train`: times training steps, and the parts of one more step.

use super::model::{ModelArgs, Ran, refuse_long};
use super::parts::{Apart, Parts};
use super::{COUNTS, refuse_extremes};
use crate::commands::train::flags::Flags;
use crate::error::CommandError;
use crate::output::{line, say_json};
use crate::work::{Load, Work};
use bone_data::Batch;
use bone_train::config::{Given, TrainConfig, resolve_method};
use bone_train::memory::{human, peak_resident_bytes};
use bone_train::run::{Fit, optimizer, prepare};
use bone_train::step::{Gradients, Savings, TrainBackend, TrainModel, backward};
use burn::tensor::backend::Backend;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Instant;

/// The model, the step and how often.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchTrainArgs {
    /// Warm-up steps, not measured [default: 1, on a GPU 2]
    #[arg(long, value_name = "N")]
    pub warmup: Option<usize>,
    /// Measured steps; one more measures the parts
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub steps: usize,
    /// Print one line of JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// What trains, and on what, as `bone train` has it
    #[command(flatten)]
    pub settings: Flags<true>,
}

impl BenchTrainArgs {
    fn config(&self) -> Result<TrainConfig, CommandError> {
        let mut flags = self.settings.0.clone();
        let counts = ["batch_size", "max_seq_len", "rank", "mini_width"];
        let counts = flags.iter().filter_map(|(key, value)| {
            let name = counts.iter().find(|name| *name == key)?;
            Some((*name, value.parse().ok()?))
        });
        let counts: Vec<_> = counts.chain([("steps", self.steps)]).collect();
        refuse_extremes(&counts, COUNTS)?;
        let has_axis = flags.iter().any(|(key, _)| key == "block_axis");
        let model = self.model.model.iter();
        flags.extend(model.map(|path| ("model".to_owned(), path.display().to_string())));
        let given = Given {
            flags,
            ..Given::default()
        };
        let mut config = resolve_method(&given)?;
        if !has_axis && self.model.model.is_none() {
            config.block_axis = self.model.random.architecture.block_axis().into();
        }
        Ok(config)
    }
}

/// The measurements.
#[derive(Debug, Serialize)]
struct Measured {
    /// Median over the timed steps.
    seconds_per_step: f64,
    fastest: f64,
    slowest: f64,
    /// Loss of the last step.
    loss: f64,
    peak_resident_mb: f64,
    /// Device memory, if the device has its own.
    device_reserved_mb: Option<f64>,
    device_in_use_mb: Option<f64>,
    trained_parameters: usize,
    /// Seconds from the first read of the weights until the model can train.
    ready_seconds: f64,
    /// Times of the parts, from one more step.
    #[serde(flatten)]
    apart: Apart,
}

/// The settings and the measurements.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    step: Value,
    #[serde(flatten)]
    found: Measured,
}

/// Runs the benchmark.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &BenchTrainArgs) -> Result<(), CommandError> {
    let config = args.config()?;
    let (rows, len) = (config.batch_size, config.max_seq_len);
    let model = args.model.open(len, config.dtype)?;
    refuse_long(&model.info, len, "--max-seq-len")?;
    let fit = Fit::of(&config, &model.info)?;
    let kind = fit.device.name.kind;
    let ran = Ran::of(&model.info, &fit.precision);
    let load = Load {
        model,
        adapter: None,
        dtype: fit.precision.convert,
        device: fit.device.name,
        fusion: config.fusion,
    };
    let own_warmup = if kind.on_processor() { 1 } else { 2 };
    let warmup = args.warmup.unwrap_or(own_warmup);
    let found = load.with(Steps {
        config: &config,
        savings: fit.savings,
        warmup,
        steps: args.steps,
        started: Instant::now(),
    })?;
    let tokens_per_second = (rows * len) as f64 / found.seconds_per_step;
    let adapter = config.adapter_config();
    let head_chunk = fit.savings.head_chunk;
    if args.json {
        let step = json!({
            "model": ran.model,
            "device": fit.device.name.to_string(),
            "threads": rayon::current_num_threads(),
            "tokens_per_second": tokens_per_second,
            "method": config.method.to_string(),
            "variant": adapter.as_ref().map(|adapter| adapter.variant.name()),
            "rank": adapter.as_ref().map(|adapter| adapter.rank),
            "dropout": config.dropout,
            "batch_size": rows,
            "max_seq_len": len,
            "recompute": config.recompute,
            "head_chunk": head_chunk,
            "warmup": warmup,
            "steps": args.steps,
        });
        say_json(&Report { step, found });
        return Ok(());
    }
    let method = match &adapter {
        Some(adapter) => format!("{} of rank {}", adapter.variant.name(), adapter.rank),
        None => config.method.to_string(),
    };
    line!("{}, {method}", ran.line);
    line!(
        "{rows} × {len} tokens, block recompute {}, head {}, on {} ({})",
        if config.recompute { "on" } else { "off" },
        head_chunk.map_or("whole".to_owned(), |chunk| format!("by {chunk}")),
        fit.device.name,
        fit.device.description()
    );
    line!(
        "\nstep       {:.3} s (median of {}; {:.3} to {:.3})",
        found.seconds_per_step,
        args.steps,
        found.fastest,
        found.slowest
    );
    line!("tokens/s   {tokens_per_second:.1}");
    let size = |megabytes: f64| human((megabytes * 1e6) as u64);
    line!("memory     {} peak", size(found.peak_resident_mb));
    if let (Some(reserved), Some(in_use)) = (found.device_reserved_mb, found.device_in_use_mb) {
        line!(
            "on device  {} reserved; at most {} in use within a step, {} between steps",
            size(reserved),
            human(found.apart.device_bytes.unwrap_or_default()),
            size(in_use)
        );
    }
    line!("loading    {:.3} s", found.ready_seconds);
    line!("\n{}", found.apart.table(kind));
    Ok(())
}

/// Runs the steps of a model, one after the other.
struct Steps<'a> {
    config: &'a TrainConfig,
    savings: Savings,
    warmup: usize,
    steps: usize,
    started: Instant,
}

impl Work for Steps<'_> {
    type Output = Measured;

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<Measured, CommandError> {
        let mut model = prepare::<B, M>(model, self.config)?.model;
        let ready_seconds = self.started.elapsed().as_secs_f64();
        let trained_parameters = bone::count_params::<B, M>(&model).trainable;
        let batch = batch(self.config, model.vocab_size());
        let count = batch.trained_tokens() as f64;
        let mut optimizer = optimizer::<B>(self.config);
        let mut step = |model: M| {
            let mut grads = Gradients::default();
            let savings = (self.savings, None);
            let scale = 1.0 / count;
            let sum = backward(&model, &batch, scale, savings, (0, 0), device, &mut grads);
            let (model, outcome) = optimizer.step(model, grads, (sum, count, 1.0), 1e-4);
            // The loss is read before the update starts, so this waits for the update. A later read reports
            // errors.
            let _ = <B as Backend>::sync(device);
            outcome.map(|outcome| (model, outcome.loss))
        };
        let mut seconds = Vec::new();
        for _ in 0..self.warmup + self.steps {
            let started = Instant::now();
            (model, _) = step(model)?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        let parts = Parts::on::<B::InnerBackend>(device);
        let (last, apart) = parts.of(|| step(model));
        let (_model, loss) = last?;
        let mut seconds = seconds.split_off(self.warmup);
        seconds.sort_by(f64::total_cmp);
        let count = seconds.len();
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let memory = <B::InnerBackend as bone::Backend>::device_memory(device);
        Ok(Measured {
            seconds_per_step: (seconds[(count - 1) / 2] + seconds[count / 2]) / 2.0,
            fastest: seconds[0],
            slowest: seconds[count - 1],
            loss,
            peak_resident_mb: megabytes(peak_resident_bytes()),
            device_reserved_mb: memory.map(|memory| megabytes(memory.reserved)),
            device_in_use_mb: memory.map(|memory| megabytes(memory.in_use)),
            trained_parameters,
            ready_seconds,
            apart,
        })
    }
}

/// Returns a batch of full sequences, with tokens from the whole vocabulary.
fn batch(config: &TrainConfig, vocab_size: usize) -> Batch {
    // One more token than trained, because the last one has no target.
    let (rows, len) = (config.batch_size, config.max_seq_len + 1);
    Batch::full(rows, len, |i| (i * 7919 % vocab_size) as u32)
}
