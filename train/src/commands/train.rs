//! `bone train`.

use super::{CommandError, precision};
use crate::checkpoint::Found;
use crate::config::{self, DtypeChoice, Init, Method, Parts, TrainArgs, TrainConfig};
use crate::data::{BatchConfig, Batches, Cut, Kind as DataKind};
use crate::dataset::{self, Dataset};
use crate::device::{self, Device, DeviceError, Kind};
use crate::fingerprint;
use crate::lock::Lock;
use crate::loss_scale::LossScale;
use crate::memory::{
    Estimate, MemoryLimit, MemorySource, RunShape, available_memory, human, keep_freed_memory,
};
use crate::models::{self, ModelInfo, ModelSource};
use crate::prompt::Prompt;
use crate::report::{self, Event, Reporter};
use crate::signals::Signals;
use crate::step::Savings;
use crate::trainer::{Data, Plan, Progress, TrainError};
use bone::kernels::Kernel;
use bone::{AdapterConfig, AttachError, LayerError};
use bone_lm::{Part, tokenizer};
use std::path::Path;
use std::time::Instant;

mod backoff;
mod changed;
mod ending;
mod folder;
mod identity;
mod job;
mod keeper;
mod lower;
mod resume;
mod trained;

use identity::Identity;
use job::{Job, RunOn};
use resume::{Length, Resumed};

/// The file every setting of a run is written to.
pub(crate) const CONFIG_FILE: &str = "config.toml";
/// The file that says that a run came to its end.
const FINISHED: &str = "finished.json";

/// Reads settings, then runs.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &TrainArgs) -> Result<(), CommandError> {
    // First of all: a signal from here on ends it as shells expect.
    let signals = Signals::listen().map_err(CommandError::io(Path::new("signals")))?;
    let mut reporter = report::console();
    let Some(path) = &args.resume else {
        let config = config::resolve(args)?;
        return run_with(&config, &mut reporter, None, Some(signals)).map(|_| ());
    };
    let resume::Opened {
        resumed,
        config,
        lock,
        note,
    } = resume::open(path, args)?;
    if let Some(note) = note {
        let said = reporter.report(Event::Note(&note));
        said.map_err(TrainError::from)?;
    }
    if resumed.is_finished() {
        let text = format!(
            "the run is finished, its result is in {}; to train on, raise --max-steps and name it in \
             --allow-change, or start from the result with --adapter or --model",
            config.out.display()
        );
        let said = reporter.report(Event::Note(&text));
        return said.map_err(|error| TrainError::from(error).into());
    }
    run_with(
        &config,
        &mut reporter,
        Some((&resumed, lock)),
        Some(signals),
    )
    .map(|_| ())
}

/// Runs with settings that are checked. The result goes to `config.out`: an adapter to `adapter/`,
/// a whole model to `model/`, the settings to `config.toml`, the curves to `metrics.jsonl`.
///
/// # Errors
///
/// [`CommandError`]. Everything that can be known beforehand — device, memory, rows, shapes — is
/// checked before the output folder is made.
pub fn run_config(
    config: &TrainConfig,
    console: &mut dyn Reporter,
) -> Result<Progress, CommandError> {
    run_with(config, console, None, None)
}

fn run_with(
    config: &TrainConfig,
    console: &mut dyn Reporter,
    resumed: Option<(&Resumed, Lock)>,
    signals: Option<&'static Signals>,
) -> Result<Progress, CommandError> {
    let started = Instant::now();
    report::Log::check().map_err(TrainError::from)?;
    let (resumed, lock) = match resumed {
        Some((resumed, lock)) => (Some(resumed), Some(lock)),
        // A folder that is not there yet is taken when it is made.
        None if config.out.is_dir() => (None, Some(Lock::take(&config.out)?)),
        None => (None, None),
    };
    let (device, device_reason) = device::choose(&config.device)?;
    let random = config.init == Init::Random;
    let info = models::inspect(&config.model, !random)?;
    let dtype = match (&config.method, config.dtype) {
        (Method::Full, DtypeChoice::Bf16 | DtypeChoice::F16) => {
            return Err(CommandError::Usage(
                "--dtype: method full trains the weights themselves, which needs f32; leave dtype out".into(),
            ));
        }
        // Weights that train are f32 whatever the file has.
        (Method::Full, _) => DtypeChoice::F32,
        (Method::Adapter(_) | Method::State, choice) => choice,
    };
    let precision = precision::choose(dtype, &info, device.name)?;
    let chunk = config.head_chunk_for(info.shape.vocab_size);
    let estimate = estimate(config, &info, &precision, chunk, device.name.kind)?;
    let limit = limit_on(&device);
    if let Some(limit) = limit {
        estimate.check(limit)?;
    }
    if device.name.kind == Kind::Cpu && !config.recompute {
        keep_freed_memory();
    }

    let vocab_size = info.shape.vocab_size;
    let (tokenizer, tokenizer_reason) =
        tokenizer::open(&config.model, &config.tokenizer, vocab_size)?;
    console_phase(console, "reading the rows")?;
    let templated = config.data.any(DataKind::Rows).then_some(&config.template);
    let prompt = Prompt::new(templated, tokenizer.as_ref());
    let Dataset {
        samples,
        train,
        validation,
        notes,
    } = dataset::load(config, tokenizer.as_ref(), vocab_size)?;
    let rows = fingerprint::of_rows(&samples, &train, &validation).map_err(dataset::temporary)?;
    let pad_id = tokenizer.eos().first().copied().unwrap_or(0);
    let mut batches = Batches::new(
        samples,
        train,
        BatchConfig {
            batch_size: config.batch_size,
            gradient_accumulation: config.gradient_accumulation,
            window: 16,
            seed: config.seed,
            pad_id,
            packing: config.packing.then_some(config.max_seq_len),
            row_len: match config.binidx_cut {
                Cut::Pad => config.max_seq_len,
                Cut::Only => 0,
            },
        },
    )?;
    let steps_per_epoch = usize::try_from(batches.steps_per_epoch()).unwrap_or(usize::MAX);
    let total_steps = config.total_steps(steps_per_epoch);
    config
        .check_warmup(total_steps)
        .map_err(CommandError::Usage)?;
    let emulated = device.software && !device.name.kind.on_processor();
    let tries = config.shake_down.unwrap_or(!emulated);
    let largest = match tries {
        true => batches.largest().map_err(dataset::temporary)?,
        false => None,
    };
    let plan = Plan {
        total_steps,
        schedule: config.schedule(total_steps),
        savings: Savings {
            recompute: config.recompute,
            head_chunk: config.chunked_head.then_some(chunk),
        },
        chunk_ctx: config.chunk_ctx,
        seed: config.seed,
        eval_every: config.eval_interval(total_steps),
        eval_batch_size: config.batch_size,
        pad_id,
        loss_scale: precision.scales_loss.then(LossScale::default),
        tunes_kernels: !device.name.kind.on_processor(),
    };
    // What depends on the rows or the model is written down as it came out.
    let mut resolved = config.clone();
    if !validation.is_empty() {
        resolved.eval_every = Some(plan.eval_every);
    }
    resolved.head_chunk = plan.savings.head_chunk;
    let config = &resolved;
    let rows = (rows, batches.steps_per_epoch());
    let mut identity = Identity::new(config, rows, device.name.to_string());
    if let Some(resumed) = resumed {
        let rows = identity.rows().to_owned();
        let device = device.name.to_string();
        let length = Length {
            total_steps,
            steps_per_epoch: batches.steps_per_epoch(),
            epochs: config.decisive_epochs(steps_per_epoch),
        };
        resumed.check(identity.base()?, &rows, &device, length)?;
        batches.seek(resumed.place(batches.steps_per_epoch()))?;
    }
    let mut lines = vec![
        format!(
            "{} of {} parameters, {} blocks",
            info.architecture.name(),
            grouped(info.shape.parameters),
            info.shape.num_layers
        ),
        format!(
            "device: {} ({}; {device_reason})",
            device.name,
            device.description()
        ),
        format!("base weights: {}", precision.text),
        format!("tokenizer: {tokenizer_reason}"),
        format!(
            "memory: about {}{}; {estimate}",
            human(estimate.total()),
            limit.map_or(String::new(), |limit| format!(" of {}", human(limit.bytes)))
        ),
    ];
    if let Some(resumed) = resumed {
        let Found { at, state } = &resumed.found;
        let steps = state.progress.steps;
        lines.push(format!(
            "gone on with after step {steps} of {total_steps}: {}",
            at.folder.display()
        ));
    }
    lines.extend(notes);
    if config.packing {
        lines.push(batches.packing().to_string());
    }
    lines.extend(info.beyond_positions(config.max_seq_len));

    console_phase(console, "loading the model")?;
    fail::fail_point!("load");
    let source = ModelSource {
        folder: config.model.clone(),
        dtype: precision.convert,
        random: random.then_some(config.seed),
    };
    let name = device.name;
    let outcome = device::on_device(
        name,
        config.fusion,
        RunOn {
            source: &source,
            job: Job {
                config,
                data: Data {
                    steps_per_epoch: batches.steps_per_epoch(),
                    steps: Box::new(batches),
                    validation,
                },
                plan,
                prompt,
                lines,
                console,
                started,
                identity,
                resumed,
                largest,
                signals,
                lock,
            },
        },
    );
    match outcome {
        Err(DeviceError::OutOfMemory { reason, .. }) => Err(CommandError::DeviceMemory(format!(
            "{name} is out of memory ({reason}): {}",
            estimate.advice()
        ))),
        other => other?,
    }
}

/// The memory a run on the device can take, where it is known.
fn limit_on(device: &Device) -> Option<MemoryLimit> {
    if device.name.kind.on_processor() || device.software {
        return Some(available_memory());
    }
    device.memory.map(|bytes| MemoryLimit {
        bytes,
        source: MemorySource::Device,
    })
}

fn console_phase(console: &mut dyn Reporter, what: &str) -> Result<(), CommandError> {
    console
        .report(Event::Phase(what))
        .map_err(|error| TrainError::from(error).into())
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn estimate(
    config: &TrainConfig,
    info: &ModelInfo,
    precision: &precision::Precision,
    chunk: usize,
    kind: Kind,
) -> Result<Estimate, CommandError> {
    let (trains_base, trainable_parameters) = match &config.method {
        Method::Full => (true, info.shape.parameters),
        Method::Adapter(adapter) => {
            let parts = part_parameters(&config.train_parts, info)?;
            (
                false,
                adapter_parameters(adapter, &info.linear_layers)? + parts,
            )
        }
        Method::State => (false, info.state_parameters.ok_or_else(no_state)?),
    };
    Ok(Estimate::new(
        &info.shape,
        &RunShape {
            trainable_parameters,
            trains_base,
            base_bytes_per_parameter: precision.bytes,
            half_precision: precision.half,
            base_mapped: precision.mapped,
            batch_size: config.batch_size,
            max_seq_len: config.max_seq_len,
            chunk_ctx: config.chunk_ctx,
            recompute: config.recompute,
            chunked_head: config.chunked_head,
            head_chunk: chunk,
            tiles: match kind {
                Kind::Cpu => true,
                Kind::NdArray => false,
                _ => Kernel::Attention.is_on(),
            },
            casts: kind != Kind::Cpu,
        },
    ))
}

fn no_state() -> CommandError {
    CommandError::Usage("--method: state tuning needs a recurrent model: RWKV6".into())
}

/// Parameters of the parts that train whole.
fn part_parameters(parts: &[Part], info: &ModelInfo) -> Result<usize, CommandError> {
    let missing = |part: &&Part| !info.parts.contains_key(part);
    let missing: Vec<_> = parts.iter().filter(missing).copied().collect();
    if missing.is_empty() {
        return Ok(parts.iter().filter_map(|part| info.parts.get(part)).sum());
    }
    let tied = if missing.contains(&Part::Head) && info.parts.contains_key(&Part::Embedding) {
        "; this model's embedding is its head as well (tied): name emb instead of head"
    } else {
        ""
    };
    Err(CommandError::Usage(format!(
        "--train-parts: {} has no {}; it has {}{tied}",
        info.architecture.name(),
        Parts(missing),
        Parts(info.parts.keys().copied().collect())
    )))
}

/// Parameters of the adapters on the layers (path, inputs, outputs) that a model says it has: what
/// does not fit is known before the weights are read.
fn adapter_parameters(
    adapter: &AdapterConfig,
    layers: &[(String, usize, usize)],
) -> Result<usize, AttachError> {
    let paths: Vec<_> = layers.iter().map(|(path, ..)| path.clone()).collect();
    let chosen = adapter.targets.resolve(&paths)?;
    let mut sum = 0;
    let mut problems = Vec::new();
    for (path, d_input, d_output) in layers {
        let (d_input, d_output) = (*d_input, *d_output);
        if !chosen.contains(path) {
            continue;
        }
        match adapter.variant.check(adapter.rank, d_input, d_output) {
            Ok(()) => sum += adapter.variant.num_params(adapter.rank, d_input, d_output),
            Err(reason) => problems.push(LayerError {
                module: path.clone(),
                d_input,
                d_output,
                reason,
            }),
        }
    }
    if problems.is_empty() {
        Ok(sum)
    } else {
        Err(AttachError::Layers(problems))
    }
}
