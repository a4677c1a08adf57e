//! `bone bench train`: a training step, timed and taken apart.

use super::{ModelArgs, Opened, read_twice, refuse_zeros, usage};
use crate::bench::{Floor, Measured, Products, StepBench};
use crate::commands::CommandError;
use crate::config::{AxisWord, MethodName};
use crate::device::{self, DeviceName, Kind, OnDevice};
use crate::memory::{human, keep_freed_memory};
use crate::models::{Architecture, ModelBackend, ModelSource, WithModel, with_model};
use crate::step::{Savings, TrainBackend, TrainModel};
use bone::bare::Kind as FileKind;
use bone::{
    AdapterConfig, LoraConfig, LoraStart, Selection, SvdMethod, Targets, Variant, attach,
    freeze_base, unfreeze_all,
};
use burn::tensor::DType;
use serde_json::json;
use std::time::{Duration, Instant};

/// The model, the method and the batch.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchTrainArgs {
    /// The model
    #[command(flatten)]
    pub model: ModelArgs,
    /// What trains: bone, miss, miss-mini, lora, pissa, olora, state, full
    #[arg(long, value_name = "NAME", default_value_t = MethodName::Bone, help_heading = "Method")]
    pub method: MethodName,
    /// Axis of bone's blocks [default: output for LLaMA2, input for RWKV6]
    #[arg(long, value_name = "AXIS", help_heading = "Method")]
    pub block_axis: Option<AxisWord>,
    /// Width of miss-mini
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Method")]
    pub mini_width: usize,
    /// Rank, on all linear layers of the blocks
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Method")]
    pub rank: usize,
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
    /// Steps before any is timed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warmup: usize,
    /// Steps that are timed; one more is taken apart
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub steps: usize,
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

/// Runs it.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &BenchTrainArgs) -> Result<(), CommandError> {
    let result = measure(args)?;
    match args.json {
        true => line!("{}", result.to_json()),
        false => result.print(),
    }
    Ok(())
}

impl BenchTrainArgs {
    /// The adapter of the method; `None` for a method without.
    fn adapter(&self, architecture: Architecture) -> Result<Option<AdapterConfig>, CommandError> {
        let lora = |start| {
            Variant::Lora(LoraConfig {
                alpha: self.rank as f64,
                rslora: false,
                start,
            })
        };
        let variant = match self.method {
            MethodName::Full | MethodName::State => return Ok(None),
            MethodName::Bone => match self.block_axis.map(AxisWord::kind) {
                None => Variant::Bone(architecture.block_axis()),
                Some(FileKind::Bone(axis)) => Variant::Bone(axis),
                Some(FileKind::Miss) => {
                    return Err(usage(
                        "--block-axis: bone's blocks lie on the output or the input axis",
                    ));
                }
            },
            MethodName::Miss => Variant::Miss,
            MethodName::MissMini => Variant::MissMini {
                width: self.mini_width,
            },
            MethodName::Lora => lora(LoraStart::Random),
            MethodName::Olora => lora(LoraStart::Olora),
            MethodName::Pissa => lora(LoraStart::Pissa(SvdMethod::Fast { iterations: 4 })),
        };
        let targets = Targets::new(Selection::AllLinear);
        let mut config = AdapterConfig::new(variant, self.rank, targets);
        config.dropout = self.dropout;
        Ok(Some(config))
    }
}

/// What a benchmark found, and of what.
struct Found {
    args: BenchTrainArgs,
    opened: Opened,
    read: Duration,
    device: DeviceName,
    description: String,
    floor: Floor,
    ready: Ready,
    measured: Measured,
}

/// From an empty process to the first step.
struct Ready {
    trainable: usize,
    load: Duration,
}

fn measure(args: &BenchTrainArgs) -> Result<Found, CommandError> {
    refuse_zeros(&[
        ("batch-size", args.batch_size),
        ("max-seq-len", args.max_seq_len),
        ("steps", args.steps),
        ("rank", args.rank),
        ("mini-width", args.mini_width),
    ])?;
    let (device, _) = device::choose(&args.device)?;
    let full = args.method == MethodName::Full;
    let opened = args
        .model
        .open(args.max_seq_len, full.then_some(DType::F32))?;
    let info = &opened.info;
    if let Some(positions) = info.positions.filter(|most| args.max_seq_len > *most) {
        return Err(usage(format!(
            "--max-seq-len: the model has {positions} positions"
        )));
    }
    if full
        && args
            .model
            .dtype
            .dtype()
            .is_some_and(|dtype| dtype != DType::F32)
    {
        return Err(usage(
            "--dtype: method full trains the weights themselves, which needs f32",
        ));
    }
    if device.name.kind == Kind::Cpu && !args.recompute {
        keep_freed_memory();
    }
    if args.block_axis.is_some() && args.method != MethodName::Bone {
        return Err(usage(format!(
            "--block-axis: method {} has no blocks on an axis",
            args.method
        )));
    }
    let adapter = args.adapter(info.architecture)?;
    let drops = adapter
        .as_ref()
        .is_some_and(|adapter| adapter.variant.has_dropout());
    if args.dropout != 0.0 && !drops {
        return Err(usage(format!("--dropout: method {} has none", args.method)));
    }
    let products = match &adapter {
        Some(adapter) => Products::Adapter(adapter.clone()),
        None if full => Products::Full,
        None => Products::States,
    };
    let attention = (info.architecture == Architecture::Llama2)
        .then_some(info.shape.num_layers * info.shape.hidden_size);
    let batch = [args.batch_size, args.max_seq_len];
    let floor = Floor::new(&info.linear_layers, &products, batch, attention)?;
    let work = Work {
        source: &opened.source,
        method: args.method,
        adapter,
        bench: StepBench {
            rows: args.batch_size,
            len: args.max_seq_len,
            savings: Savings {
                recompute: args.recompute,
                head_chunk: (args.head_chunk > 0).then_some(args.head_chunk),
            },
            warmup: args.warmup,
            steps: args.steps,
            product: [info.shape.hidden_size, info.shape.intermediate_size],
        },
    };
    let read = read_twice(&opened.source.folder)?;
    let (ready, measured) = device::on_device(device.name, args.fusion, work)??;
    Ok(Found {
        args: args.clone(),
        device: device.name,
        description: device.description(),
        opened,
        read,
        floor,
        ready,
        measured,
    })
}

struct Work<'a> {
    source: &'a ModelSource,
    method: MethodName,
    adapter: Option<AdapterConfig>,
    bench: StepBench,
}

impl OnDevice for Work<'_> {
    type Output = Result<(Ready, Measured), CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let started = Instant::now();
        let source = self.source;
        let work = OnModel::<B> {
            work: self,
            device: device.clone(),
            started,
        };
        with_model::<B, _>(source, &device, work)?
    }
}

struct OnModel<'a, B: TrainBackend> {
    work: Work<'a>,
    device: B::Device,
    started: Instant,
}

impl<B: TrainBackend> WithModel<B> for OnModel<'_, B> {
    type Output = Result<(Ready, Measured), CommandError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let Work {
            method,
            adapter,
            bench,
            ..
        } = self.work;
        let model = match (adapter, method) {
            (Some(adapter), _) => freeze_base::<B, M>(attach::<B, M>(model, &adapter)?),
            (None, MethodName::State) => {
                let model = model.with_initial_state();
                let model = model.ok_or_else(|| usage("--method: state tuning needs RWKV6"))?;
                let model = freeze_base::<B, M>(model);
                bone::train_also::<B, M>(model, bone::saved::is_state)?
            }
            (None, _) => unfreeze_all::<B, M>(model),
        };
        let ready = Ready {
            trainable: bone::count_params::<B, M>(&model).trainable,
            load: self.started.elapsed(),
        };
        let measured = bench.run::<B, M>(model, &self.device).map_err(|error| {
            CommandError::Train(crate::trainer::TrainError::NonFinite {
                step: bench.warmup + bench.steps,
                source: error,
            })
        })?;
        Ok((ready, measured))
    }
}

impl Found {
    fn tokens_per_second(&self) -> f64 {
        (self.args.batch_size * self.args.max_seq_len) as f64 / self.measured.timing.median
    }

    /// Seconds that the step's products alone take at the rate measured.
    fn floor_seconds(&self) -> f64 {
        self.floor.total() / self.measured.product_rate
    }

    fn to_json(&self) -> String {
        let Measured {
            timing,
            peak_resident_bytes,
            loss,
            apart,
            product_rate,
        } = &self.measured;
        let shares: serde_json::Map<_, _> = apart
            .shares
            .iter()
            .map(|share| (share.part.to_string(), json!(share.time.as_secs_f64())))
            .collect();
        json!({
            "seconds_per_step": timing.median,
            "fastest": timing.fastest,
            "slowest": timing.slowest,
            "tokens_per_second": self.tokens_per_second(),
            "peak_resident_mb": *peak_resident_bytes as f64 / 1e6,
            "loss": loss,
            "dropout": self.args.dropout,
            "trained_parameters": self.ready.trainable,
            "ready_seconds": self.ready.load.as_secs_f64(),
            "read_seconds": self.read.as_secs_f64(),
            "model_bytes": self.opened.info.stored_bytes,
            "parameters": self.opened.info.shape.parameters,
            "floor_gflop": self.floor.total() / 1e9,
            "product_gflops": product_rate / 1e9,
            "floor_seconds": self.floor_seconds(),
            "taken_apart_seconds": apart.whole.as_secs_f64(),
            "parts": shares,
        })
        .to_string()
    }

    fn print(&self) {
        let args = &self.args;
        let timing = self.measured.timing;
        let dropout = match args.dropout {
            0.0 => String::new(),
            p => format!(" with dropout {p}"),
        };
        line!("{}, {}{dropout}", self.opened.describe(), args.method);
        line!(
            "{} × {} tokens, block recompute {}, on {} ({})",
            args.batch_size,
            args.max_seq_len,
            if args.recompute { "on" } else { "off" },
            self.device,
            self.description
        );
        line!(
            "\nstep       {:.3} s (median of {}; {:.3} to {:.3})",
            timing.median,
            args.steps,
            timing.fastest,
            timing.slowest
        );
        line!("tokens/s   {:.1}", self.tokens_per_second());
        line!(
            "memory     {} at most",
            human(self.measured.peak_resident_bytes)
        );
        line!(
            "loading    {:.3} s, {} of weights, whose files take {:.3} s to read",
            self.ready.load.as_secs_f64(),
            human(self.opened.info.stored_bytes as u64),
            self.read.as_secs_f64()
        );
        line!(
            "floor      {:.3} s: products of {:.0} GFLOP at {:.0} GFLOP/s, the rate of one in f32 measured here; \
             the step is at {:.0} % of it",
            self.floor_seconds(),
            self.floor.total() / 1e9,
            self.measured.product_rate / 1e9,
            100.0 * self.floor_seconds() / timing.median
        );
        line!("\n{}", self.measured.apart.table(self.device.kind));
    }
}
