//! What a run needs before its model is loaded: device, precision, memory, rows and plan.

use super::checkpoint::State;
use super::identity::Identity;
use super::start::Start;
use super::{RunError, fingerprint, fit};
use crate::config::{DtypeChoice, MethodName, TrainConfig};
use crate::device::precision::{self, Precision};
use crate::device::{self, DeviceName, Kind};
use crate::loss_scale::LossScale;
use crate::memory::{Estimate, human, keep_freed_memory};
use crate::models::ModelInfo;
use crate::report::{Event, Reporter};
use crate::step::Savings;
use crate::trainer::{Data, Plan, Progress};
use bone_data::load::{self, Reading};
use bone_data::{
    Batch, BatchConfig, Batches, Cut, Kind as DataKind, Limits, Prompt, Template, grouped,
};
use bone_tokenizer as tokenizer;

/// Steps of the data whose rows are sorted by length together.
const WINDOW: usize = 16;

/// Everything of a run that depends on neither backend nor model type.
pub(super) struct Inputs {
    /// The settings, with those that depend on the rows or the model filled in.
    pub(super) config: TrainConfig,
    pub(super) device: DeviceName,
    pub(super) precision: Precision,
    pub(super) estimate: Estimate,
    pub(super) data: Data,
    pub(super) plan: Plan,
    pub(super) progress: Progress,
    pub(super) prompt: Prompt,
    pub(super) identity: Identity,
    /// The largest batch, if it is to be tried before the first step.
    pub(super) largest: Option<Batch>,
    /// What a person is shown at the start, one fact a line.
    pub(super) lines: Vec<String>,
}

/// Reads and checks everything but the weights.
pub(super) fn read(
    config: &TrainConfig,
    info: &ModelInfo,
    start: &Start,
    reporter: &mut dyn Reporter,
) -> Result<Inputs, RunError> {
    let (device, device_reason) = device::choose(&config.device)?;
    let kind = device.name.kind;
    let precision = precision::choose(dtype(config)?, info, device.name)?;
    let vocab_size = info.shape.vocab_size;
    let head_chunk = config.head_chunk_for(vocab_size);
    let estimate = fit::estimate(config, info, &precision, head_chunk, kind)?;
    let limit = fit::limit(&device);
    if let Some(limit) = limit {
        estimate.check(limit)?;
    }
    if kind == Kind::Cpu && !config.recompute {
        keep_freed_memory();
    }
    let (tokenizer, tokenizer_reason) =
        tokenizer::open(&config.model, &config.tokenizer, vocab_size)?;
    reporter.report(Event::Phase("reading the rows"))?;
    let template = Template::load(&config.template, Some(&config.model))
        .map_err(|error| RunError::Usage(format!("--template: {error}")))?;
    let schema = config.schema();
    let reading = Reading {
        schema: schema.as_ref(),
        template: &template,
        tokenizer: tokenizer.as_ref(),
        limits: Limits {
            max_seq_len: config.max_seq_len,
            vocab_size,
        },
    };
    let rows = load::load(&config.data, reading, config.validation, config.seed)?;
    let hash = fingerprint::of_rows(&rows.samples, &rows.train, &rows.validation);
    let hash = hash.map_err(load::temporary)?;
    let pad_id = tokenizer.eos().first().copied().unwrap_or(0);
    let batches = BatchConfig {
        batch_size: config.batch_size,
        gradient_accumulation: config.gradient_accumulation,
        window: WINDOW,
        seed: config.seed,
        pad_id,
        packing: config.packing.then_some(config.max_seq_len),
        row_len: match config.binidx_cut {
            Cut::Pad => config.max_seq_len,
            Cut::Only => 0,
        },
    };
    let mut batches = Batches::new(rows.samples, rows.train, batches)?;
    let steps_per_epoch = batches.steps_per_epoch();
    let state = State {
        data: hash,
        steps_per_epoch,
        device: device.name.to_string(),
        seconds: start.resumed().map_or(0.0, |found| found.state.seconds),
        ..State::default()
    };
    let mut identity = Identity::new(config, state);
    start.check(&mut identity)?;
    let cursor = start.cursor(&identity.state);
    let total_steps = start.total_steps(config, steps_per_epoch, cursor)?;
    config.check_warmup(total_steps).map_err(RunError::Usage)?;
    let emulated = device.software && !kind.on_processor();
    let largest = match config.shake_down.unwrap_or(!emulated) {
        true => batches.largest().map_err(load::temporary)?,
        false => None,
    };
    batches.seek(cursor)?;
    let plan = Plan {
        total_steps,
        schedule: config.schedule(total_steps),
        savings: Savings {
            recompute: config.recompute,
            head_chunk: config.chunked_head.then_some(head_chunk),
        },
        chunk_ctx: config.chunk_ctx,
        seed: config.seed,
        eval_every: config.eval_interval(total_steps),
        eval_batch_size: config.batch_size,
        pad_id,
        loss_scale: precision.scales_loss.then(LossScale::default),
        tunes_kernels: !kind.on_processor(),
    };
    let mut config = config.clone();
    if !rows.validation.is_empty() {
        config.eval_every = Some(plan.eval_every);
    }
    config.head_chunk = plan.savings.head_chunk;
    (identity.state.config, identity.state.total_steps) = (config.to_toml(), total_steps);
    let parameters = grouped(info.shape.parameters);
    let (architecture, blocks) = (info.architecture.name(), info.shape.num_layers);
    let of_limit = limit.map_or(String::new(), |limit| format!(" of {}", human(limit.bytes)));
    let mut lines = vec![
        format!("{architecture} of {parameters} parameters, {blocks} blocks"),
        format!(
            "device: {} ({}; {device_reason})",
            device.name,
            device.description()
        ),
        format!("base weights: {}", precision.text),
        format!("tokenizer: {tokenizer_reason}"),
        format!(
            "memory: about {}{of_limit}; {estimate}",
            human(estimate.total())
        ),
    ];
    lines.extend(start.line(total_steps, cursor));
    lines.extend(rows.notes);
    if config.packing {
        lines.push(batches.packing().to_string());
    }
    lines.extend(info.beyond_positions(config.max_seq_len));
    let templated = config.data.any(DataKind::Rows).then_some(&template);
    Ok(Inputs {
        device: device.name,
        precision,
        estimate,
        data: Data {
            steps_per_epoch,
            steps: Box::new(batches),
            validation: rows.validation,
        },
        progress: start.progress(Progress::new(plan.loss_scale), cursor),
        plan,
        prompt: Prompt::new(templated, tokenizer.as_ref()),
        identity,
        largest,
        lines,
        config,
    })
}

/// Returns the precision of the base: weights that train are f32, whatever the file holds.
fn dtype(config: &TrainConfig) -> Result<DtypeChoice, RunError> {
    match (config.method, config.dtype) {
        (MethodName::Full, DtypeChoice::Bf16 | DtypeChoice::F16) => Err(RunError::Usage(
            "--dtype: method full trains the weights themselves, which needs f32; leave dtype out"
                .into(),
        )),
        (MethodName::Full, _) => Ok(DtypeChoice::F32),
        (_, choice) => Ok(choice),
    }
}
