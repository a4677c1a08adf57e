//! `bone bench train`: training steps, timed, and one more taken apart.

use super::model::{ModelArgs, Ran, RunArgs, refuse_extremes};
use super::parts::{Apart, Parts};
use crate::error::CommandError;
use crate::output::{line, say_json};
use crate::work::Work;
use bone::{AdapterConfig, attach, freeze_base, unfreeze_all};
use bone_data::Batch;
use bone_train::config::{AxisWord, MethodName, RawConfig, TrainConfig};
use bone_train::device::{self, Kind};
use bone_train::memory::{
    Estimate, RunShape, available_memory, human, keep_freed_memory, peak_resident_bytes,
};
use bone_train::models::{Architecture, ModelInfo};
use bone_train::optimizer::{AdamWSettings, NonFinite, Optimizer};
use bone_train::step::Gradients;
use bone_train::step::{Savings, TrainBackend, TrainModel, backward};
use burn::tensor::DType;
use burn::tensor::backend::Backend;
use serde::Serialize;
use std::time::Instant;

/// The model, the method and the batch.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct BenchTrainArgs {
    /// The model
    #[command(flatten)]
    #[serde(skip)]
    pub model: ModelArgs,
    /// What trains: bone, miss, miss-mini, lora, pissa, olora, state, full
    #[serde(skip)]
    #[arg(long, value_name = "NAME", default_value_t = MethodName::Bone, help_heading = "Method")]
    pub method: MethodName,
    /// Axis of bone's blocks [default: output for LLaMA2, input for RWKV6]
    #[serde(skip)]
    #[arg(long, value_name = "AXIS", help_heading = "Method")]
    pub block_axis: Option<AxisWord>,
    /// Width of miss-mini [default: 64]
    #[arg(long, value_name = "N", help_heading = "Method")]
    pub mini_width: Option<usize>,
    /// Rank, on all linear layers of the blocks [default: 64]
    #[serde(skip)]
    #[arg(long, value_name = "N", help_heading = "Method")]
    pub rank: Option<usize>,
    /// Adapter dropout; bone has none
    #[arg(long, value_name = "P", default_value_t = 0.0, help_heading = "Method")]
    pub dropout: f64,
    /// Sequences of a batch
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Batch")]
    pub batch_size: usize,
    /// Trained tokens of each
    #[arg(long, value_name = "N", default_value_t = 256, help_heading = "Batch")]
    pub max_seq_len: usize,
    /// Run each block again in the backward, and keep only its input
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, help_heading = "Batch")]
    pub recompute: bool,
    /// Tokens the head handles at once; 0 for all of them
    #[arg(long, value_name = "N", default_value_t = 512, help_heading = "Batch")]
    pub head_chunk: usize,
    /// Steps before any is timed [default: 1; on a GPU 2, for the second is the first with moments, whose kernels are compiled then]
    #[arg(long, value_name = "N")]
    pub warmup: Option<usize>,
    /// Steps that are timed; one more is taken apart
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub steps: usize,
    /// Where, and how it is told
    #[command(flatten)]
    #[serde(skip)]
    pub run: RunArgs,
}

/// Width of miss-mini, where it is not given.
const MINI_WIDTH: usize = 64;

impl BenchTrainArgs {
    /// Returns what trains of a model of `architecture`, as `bone train` has it.
    fn settings(&self, architecture: Architecture) -> Result<TrainConfig, CommandError> {
        let half = self.model.dtype.dtype().is_some_and(|d| d != DType::F32);
        if half && self.method == MethodName::Full {
            return Err(CommandError::usage(
                "--dtype: method full trains the weights themselves, which needs f32",
            ));
        }
        let is = |name| self.method == name;
        if is(MethodName::State) && architecture != Architecture::Rwkv6 {
            return Err(CommandError::usage(
                "--method: state tunes the initial state of a recurrent model (RWKV6)",
            ));
        }
        let own_axis = is(MethodName::Bone).then(|| architecture.block_axis().into());
        let own_width = is(MethodName::MissMini).then_some(MINI_WIDTH);
        let given = RawConfig {
            method: Some(self.method),
            block_axis: self.block_axis.or(own_axis),
            rank: self.rank,
            mini_width: self.mini_width.or(own_width),
            pissa_iterations: is(MethodName::Pissa).then_some(4),
            dropout: Some(self.dropout).filter(|dropout| *dropout != 0.0),
            ..RawConfig::default()
        };
        Ok(given.validate_method()?)
    }

    /// Returns the memory of a step on the processor, without what trains: that comes on top.
    fn estimate(&self, info: &ModelInfo) -> Estimate {
        let full = self.method == MethodName::Full;
        Estimate::new(
            &info.shape,
            &RunShape {
                trainable_parameters: if full { info.shape.parameters } else { 0 },
                trains_base: full,
                base_bytes_per_parameter: info.stored_bytes.div_ceil(info.shape.parameters.max(1)),
                half_precision: None,
                batch_size: self.batch_size,
                max_seq_len: self.max_seq_len,
                chunk_ctx: None,
                recompute: self.recompute,
                chunked_head: self.head_chunk > 0,
                head_chunk: self.head_chunk,
                tiles: true,
                casts: false,
            },
        )
    }

    fn batch(&self, vocab_size: usize) -> Batch {
        // A token more than is trained, which has nothing after it.
        let (rows, len) = (self.batch_size, self.max_seq_len + 1);
        Batch {
            rows,
            len,
            tokens: (0..rows * len)
                .map(|i| (i * 7919 % vocab_size) as u32)
                .collect(),
            loss_mask: (0..rows * len).map(|i| i % len > 0).collect(),
            row_ids: (0..rows as u64).collect(),
            samples: (0..rows as u64).collect(),
            starts: Vec::new(),
        }
    }
}

/// What was run, and what was measured.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    measured: Measured,
    tokens_per_second: f64,
    #[serde(flatten)]
    ran: Ran,
    method: String,
    /// Of the adapter; `bone-input` is bone on the input axis.
    variant: Option<&'static str>,
    rank: Option<usize>,
    #[serde(flatten)]
    args: &'a BenchTrainArgs,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    /// The median.
    seconds_per_step: f64,
    fastest: f64,
    slowest: f64,
    /// Of the last step.
    loss: f64,
    peak_resident_mb: f64,
    /// Of the device, where it has memory of its own.
    device_reserved_mb: Option<f64>,
    device_in_use_mb: Option<f64>,
    trained_parameters: usize,
    /// From the first read of the weights to a model that trains.
    ready_seconds: f64,
    /// One more step.
    #[serde(flatten)]
    apart: Apart,
}

/// Runs it.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &BenchTrainArgs) -> Result<(), CommandError> {
    refuse_extremes(&[
        ("batch-size", args.batch_size),
        ("max-seq-len", args.max_seq_len),
        ("steps", args.steps),
        ("rank", args.rank.unwrap_or(1)),
        ("mini-width", args.mini_width.unwrap_or(1)),
    ])?;
    let chosen = args.model.choose(args.max_seq_len)?;
    let settings = args.settings(chosen.architecture())?;
    let adapter = settings.adapter_config();
    let (device, _) = device::choose(&args.run.device)?;
    let dtype = args.model.dtype.dtype();
    let full = args.method == MethodName::Full;
    let opened = chosen.open(dtype.or(full.then_some(DType::F32)))?;
    let info = &opened.model.info;
    if let Some(positions) = info.positions.filter(|most| args.max_seq_len > *most) {
        return Err(CommandError::usage(format!(
            "--max-seq-len: the model has {positions} positions"
        )));
    }
    if device.name.kind == Kind::Cpu {
        if !args.recompute {
            keep_freed_memory();
        }
        args.estimate(info).check(available_memory())?;
    }
    let ran = opened.report(device.name);
    let variant = adapter.as_ref().map(|adapter| adapter.variant.name());
    let rank = adapter.as_ref().map(|adapter| adapter.rank);
    let on_processor = device.name.kind.on_processor();
    let measured = opened.load(device.name, args.run.fusion).with(Steps {
        args,
        adapter,
        warmup: args.warmup.unwrap_or(if on_processor { 1 } else { 2 }),
        started: Instant::now(),
    })?;
    let report = Report {
        tokens_per_second: (args.batch_size * args.max_seq_len) as f64 / measured.seconds_per_step,
        measured,
        ran,
        method: args.method.to_string(),
        variant,
        rank,
        args,
    };
    if args.run.json {
        say_json(&report);
    } else {
        report.print(&device);
    }
    Ok(())
}

impl Report<'_> {
    fn print(&self, device: &device::Device) {
        let method = match (self.variant, self.rank) {
            (Some(variant), Some(rank)) => format!("{variant} of rank {rank}"),
            _ => self.method.clone(),
        };
        let (args, ran) = (self.args, &self.ran);
        line!("{}, {method}", ran.model);
        line!(
            "{} × {} tokens, block recompute {}, head {}, on {} ({})",
            args.batch_size,
            args.max_seq_len,
            if args.recompute { "on" } else { "off" },
            match args.head_chunk {
                0 => "whole".to_owned(),
                chunk => format!("by {chunk}"),
            },
            ran.device,
            device.description()
        );
        let found = &self.measured;
        line!(
            "\nstep       {:.3} s (median of {}; {:.3} to {:.3})",
            found.seconds_per_step,
            args.steps,
            found.fastest,
            found.slowest
        );
        line!("tokens/s   {:.1}", self.tokens_per_second);
        let size = |megabytes: f64| human((megabytes * 1e6) as u64);
        line!("memory     {} at most", size(found.peak_resident_mb));
        if let (Some(reserved), Some(in_use)) = (found.device_reserved_mb, found.device_in_use_mb) {
            line!(
                "on device  {} reserved; at most {} in use between parts, {} between steps",
                size(reserved),
                human(found.apart.device_bytes.unwrap_or_default()),
                size(in_use)
            );
        }
        line!("loading    {:.3} s", found.ready_seconds);
        line!("\n{}", found.apart.table(device.name.kind));
    }
}

/// Steps of a model, one after the other.
struct Steps<'a> {
    args: &'a BenchTrainArgs,
    adapter: Option<AdapterConfig>,
    warmup: usize,
    started: Instant,
}

impl Work for Steps<'_> {
    type Output = Measured;

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<Measured, CommandError> {
        let mut model = self.prepare::<B, M>(model)?;
        let ready_seconds = self.started.elapsed().as_secs_f64();
        let trained_parameters = bone::count_params::<B, M>(&model).trainable;
        let batch = self.args.batch(model.vocab_size());
        let mut optimizer = Optimizer::new(AdamWSettings {
            max_grad_norm: Some(1.0),
            ..AdamWSettings::default()
        });
        let mut step = |model| self.step::<B, M>(model, &mut optimizer, &batch, device);
        let mut seconds = Vec::new();
        for done in 0..self.warmup + self.args.steps {
            let started = Instant::now();
            (model, _) = step(model)?;
            if done >= self.warmup {
                seconds.push(started.elapsed().as_secs_f64());
            }
        }
        let parts = Parts::on::<B::InnerBackend>(device);
        let (last, apart) = parts.of(|| step(model));
        let (_model, loss) = last?;
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

impl Steps<'_> {
    fn prepare<B: TrainBackend, M: TrainModel<B>>(&self, model: M) -> Result<M, CommandError> {
        Ok(match (&self.adapter, self.args.method) {
            (Some(adapter), _) => freeze_base::<B, M>(attach::<B, M>(model, adapter)?),
            (None, MethodName::State) => {
                let model = model.with_initial_state();
                let model = model.ok_or_else(|| CommandError::usage("--method: no state"))?;
                let model = freeze_base::<B, M>(model);
                bone::train_also::<B, M>(model, bone::saved::is_state)?
            }
            (None, _) => unfreeze_all::<B, M>(model),
        })
    }

    /// Makes one step, and returns its loss.
    fn step<B: TrainBackend, M: TrainModel<B>>(
        &self,
        model: M,
        optimizer: &mut Optimizer<B>,
        batch: &Batch,
        device: &B::Device,
    ) -> Result<(M, f64), NonFinite> {
        let savings = Savings {
            recompute: self.args.recompute,
            head_chunk: (self.args.head_chunk > 0).then_some(self.args.head_chunk),
        };
        let count = batch.trained_tokens() as f64;
        let mut grads = Gradients::default();
        let sum = backward(
            &model,
            batch,
            1.0 / count,
            (savings, None),
            (0, 0),
            device,
            &mut grads,
        );
        let (model, outcome) = optimizer.step(model, grads, (sum, count, 1.0), 1e-4);
        // The loss was read before the update was begun. What fails shows in what is read later.
        let _ = <B as Backend>::sync(device);
        Ok((model, outcome?.loss))
    }
}
