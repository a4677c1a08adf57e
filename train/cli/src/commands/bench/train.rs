//! `bone bench train`: a training step, timed and taken apart.

use super::report::{Found, Ready};
use super::{ModelArgs, RunArgs, Scratch, read_twice, refuse_extremes, usage};
use crate::bench::{Floor, Measured, Products, StepBench};
use crate::commands::{CommandError, say_json};
use bone::rwkv_peft::Kind as FileKind;
use bone::{
    AdapterConfig, LoraConfig, LoraStart, Selection, SvdMethod, Targets, Variant, attach,
    freeze_base, unfreeze_all,
};
use bone_train::config::{AxisWord, MethodName};
use bone_train::device::{self, Kind, OnDevice};
use bone_train::memory::{Estimate, RunShape, available_memory, keep_freed_memory};
use bone_train::models::{
    Architecture, ModelBackend, ModelInfo, ModelSource, WithModel, with_model,
};
use bone_train::step::{Savings, TrainBackend, TrainModel};
use burn::tensor::DType;
use std::time::Instant;

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
    /// Width of miss-mini [default: 64]
    #[arg(long, value_name = "N", help_heading = "Method")]
    pub mini_width: Option<usize>,
    /// Rank, on all linear layers of the blocks [default: 64]
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
    pub run: RunArgs,
}

/// Rank, and width of miss-mini.
const DEFAULT_WIDTH: usize = 64;

/// Runs it.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &BenchTrainArgs) -> Result<(), CommandError> {
    let result = measure(args)?;
    match args.run.json {
        true => say_json(&result.to_json()),
        false => result.print(),
    }
    Ok(())
}

impl BenchTrainArgs {
    /// What can be said without a model, all of it.
    fn check(&self) -> Result<(), CommandError> {
        refuse_extremes(&[
            ("batch-size", self.batch_size),
            ("max-seq-len", self.max_seq_len),
            ("steps", self.steps),
            ("rank", self.rank.unwrap_or(1)),
            ("mini-width", self.mini_width.unwrap_or(1)),
        ])?;
        let method = self.method;
        let has_adapter = !matches!(method, MethodName::Full | MethodName::State);
        let drops = has_adapter && method != MethodName::Bone;
        let half = self
            .model
            .dtype
            .dtype()
            .is_some_and(|dtype| dtype != DType::F32);
        let no_axis = self.block_axis.is_some() && method != MethodName::Bone;
        let no_width = self.mini_width.is_some() && method != MethodName::MissMini;
        let problems = [
            no_axis.then(|| format!("--block-axis: method {method} has no blocks on an axis")),
            no_width.then(|| format!("--mini-width: only miss-mini has one, and not {method}")),
            (self.rank.is_some() && !has_adapter)
                .then(|| format!("--rank: method {method} has no adapters")),
            (self.dropout != 0.0 && !drops).then(|| format!("--dropout: method {method} has none")),
            (half && method == MethodName::Full).then(|| {
                "--dtype: method full trains the weights themselves, which needs f32".to_owned()
            }),
            (method == MethodName::State
                && self.model.model.is_none()
                && self.model.architecture() != Architecture::Rwkv6)
                .then(|| "--method: state tuning needs RWKV6".to_owned()),
        ];
        let problems: Vec<_> = problems.into_iter().flatten().collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(usage(problems.join("\n"))),
        }
    }

    /// The memory of a step on the processor, what trains left out: it is beside the rest.
    fn estimate(&self, info: &ModelInfo) -> Estimate {
        let full = self.method == MethodName::Full;
        Estimate::new(
            &info.shape,
            &RunShape {
                trainable_parameters: if full { info.shape.parameters } else { 0 },
                trains_base: full,
                base_bytes_per_parameter: info.stored_bytes.div_ceil(info.shape.parameters.max(1)),
                half_precision: None,
                base_mapped: true,
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

    /// The adapter of the method; `None` for a method without.
    fn adapter(&self, architecture: Architecture) -> Result<Option<AdapterConfig>, CommandError> {
        let rank = self.rank.unwrap_or(DEFAULT_WIDTH);
        let lora = |start| {
            Variant::Lora(LoraConfig {
                alpha: rank as f64,
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
                width: self.mini_width.unwrap_or(DEFAULT_WIDTH),
            },
            MethodName::Lora => lora(LoraStart::Random),
            MethodName::Olora => lora(LoraStart::Olora),
            MethodName::Pissa => lora(LoraStart::Pissa(SvdMethod::Fast { iterations: 4 })),
        };
        let targets = Targets::new(Selection::AllLinear);
        let mut config = AdapterConfig::new(variant, rank, targets);
        config.dropout = self.dropout;
        Ok(Some(config))
    }
}

fn measure(args: &BenchTrainArgs) -> Result<Found, CommandError> {
    args.check()?;
    let (device, _) = device::choose(&args.run.device)?;
    let full = args.method == MethodName::Full;
    let mut opened = args
        .model
        .open(args.max_seq_len, full.then_some(DType::F32))?;
    let info = &opened.info;
    if let Some(positions) = info.positions.filter(|most| args.max_seq_len > *most) {
        return Err(usage(format!(
            "--max-seq-len: the model has {positions} positions"
        )));
    }
    if device.name.kind == Kind::Cpu && !args.recompute {
        keep_freed_memory();
    }
    let adapter = args.adapter(info.architecture)?;
    let products = match &adapter {
        Some(adapter) => Products::Adapter(adapter.clone()),
        None if full => Products::Full,
        None => Products::States,
    };
    let attention = (info.architecture == Architecture::Llama2)
        .then_some(info.shape.num_layers * info.shape.hidden_size);
    let batch = [args.batch_size, args.max_seq_len];
    let floor = Floor::new(
        &info.linear_layers,
        &products,
        batch,
        attention,
        opened.dtype.size(),
    )?;
    let bench = StepBench {
        rows: args.batch_size,
        len: args.max_seq_len,
        savings: Savings {
            recompute: args.recompute,
            head_chunk: (args.head_chunk > 0).then_some(args.head_chunk),
        },
        warmup: args.warmup.unwrap_or(if device.name.kind.on_processor() {
            1
        } else {
            2
        }),
        steps: args.steps,
        product: [info.shape.hidden_size, info.shape.intermediate_size],
        // The processor multiplies in f32 whatever the weights are held in, unless it has bf16's
        // instructions.
        dtype: match device.name.kind.on_processor() {
            true => DType::F32,
            false => opened.dtype,
        },
    };
    if device.name.kind == Kind::Cpu {
        args.estimate(info).check(available_memory())?;
    }
    let read = read_twice(&opened.source.folder)?;
    let work = Work {
        scratch: opened.scratch.take(),
        source: &opened.source,
        method: args.method,
        adapter: adapter.clone(),
        bench,
    };
    let (ready, measured) = device::on_device(device.name, args.run.fusion, work)??;
    Ok(Found {
        args: args.clone(),
        device: device.name,
        description: device.description(),
        opened,
        adapter,
        read,
        floor,
        ready,
        measured,
    })
}

struct Work<'a> {
    scratch: Scratch,
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
            scratch,
            method,
            adapter,
            bench,
            ..
        } = self.work;
        // It is mapped by now.
        drop(scratch);
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
        let measured = bench.run::<B, M>(model, &self.device)?;
        Ok((ready, measured))
    }
}
