//! Inputs that a run needs before its model is loaded: device, precision, memory, rows and plan.

use super::checkpoint::State;
use super::identity::Identity;
use super::start::Start;
use super::{Fit, RunError, fingerprint};
use crate::config::TrainConfig;
use crate::loss_scale::LossScale;
use crate::memory::human;
use crate::models::ModelInfo;
use crate::report::{Event, Reporter};
use crate::trainer::{Data, Plan, Progress};
use bone_data::load::{self, Dataset, Reading};
use bone_data::{
    Batch, BatchConfig, Batches, Cut, Kind as DataKind, Limits, Prompt, Template, grouped,
};
use bone_tokenizer::{self as tokenizer, Tokenizer};

/// Number of steps whose rows are sorted by length together.
const WINDOW: usize = 16;

/// Inputs of a run that depend on neither the backend nor the model type.
pub(super) struct Inputs {
    /// The settings. Those that depend on the rows or the model are filled in.
    pub(super) config: TrainConfig,
    pub(super) fit: Fit,
    pub(super) data: Data,
    pub(super) plan: Plan,
    pub(super) progress: Progress,
    pub(super) prompt: Prompt,
    pub(super) identity: Identity,
    /// The largest batch, if it is to be tried before the first step.
    pub(super) largest: Option<Batch>,
    /// Lines shown to the user at the start, one fact per line.
    pub(super) lines: Vec<String>,
}

/// Reads and checks everything but the weights.
pub(super) fn read(
    config: &TrainConfig,
    info: &ModelInfo,
    start: &Start,
    reporter: &mut dyn Reporter,
) -> Result<Inputs, RunError> {
    let fit = Fit::of(config, info)?;
    let (device, kind) = (&fit.device, fit.device.name.kind);
    let vocab_size = info.shape.vocab_size;
    let (tokenizer, tokenizer_reason) =
        tokenizer::open(&config.model, &config.tokenizer, vocab_size)?;
    reporter.report(Event::Phase("reading the rows"))?;
    let mut rows = Rows::read(config, tokenizer.as_ref(), vocab_size)?;
    let state = State {
        data: rows.hash,
        steps_per_epoch: rows.steps_per_epoch,
        device: device.name.to_string(),
        seconds: start.resumed().map_or(0.0, |found| found.state.seconds),
        ..State::default()
    };
    let mut identity = Identity::new(config, state);
    start.check(&mut identity)?;
    let cursor = start.cursor(&identity.state);
    let total_steps = start.total_steps(config, rows.steps_per_epoch, cursor)?;
    config.check_warmup(total_steps).map_err(RunError::Usage)?;
    let emulated = device.software && !kind.on_processor();
    let largest = if config.shake_down.unwrap_or(!emulated) {
        rows.batches.largest().map_err(load::temporary)?
    } else {
        None
    };
    rows.batches.seek(cursor)?;
    let plan = Plan {
        total_steps,
        schedule: config.schedule(total_steps),
        savings: fit.savings,
        chunk_ctx: config.chunk_ctx,
        seed: config.seed,
        eval_every: config.eval_interval(total_steps),
        eval_batch_size: config.batch_size,
        pad_id: rows.pad_id,
        loss_scale: fit.precision.scales_loss.then(LossScale::default),
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
    let of_limit = fit
        .limit
        .map_or(String::new(), |limit| format!(" of {}", human(limit.bytes)));
    let mut lines = vec![
        format!("{architecture} of {parameters} parameters, {blocks} blocks"),
        format!(
            "device: {} ({}; {})",
            device.name,
            device.description(),
            fit.device_reason
        ),
        format!("base weights: {}", fit.precision.text),
        format!("tokenizer: {tokenizer_reason}"),
        format!(
            "memory: about {}{of_limit}; {}",
            human(fit.estimate.total()),
            fit.estimate
        ),
    ];
    lines.extend(start.line(total_steps, cursor));
    lines.extend(rows.notes);
    if config.packing {
        lines.push(rows.batches.packing());
    }
    lines.extend(info.beyond_positions(config.max_seq_len));
    Ok(Inputs {
        data: Data {
            steps_per_epoch: rows.steps_per_epoch,
            steps: Box::new(rows.batches),
            validation: rows.validation,
        },
        progress: start.progress(Progress::new(plan.loss_scale), cursor),
        plan,
        prompt: rows.prompt,
        identity,
        largest,
        lines,
        config,
        fit,
    })
}

/// The rows as batches, and their hash.
struct Rows {
    batches: Batches,
    validation: Vec<bone_data::Sample>,
    steps_per_epoch: u64,
    hash: String,
    pad_id: u32,
    prompt: Prompt,
    notes: Vec<String>,
}

impl Rows {
    fn read(
        config: &TrainConfig,
        tokenizer: &dyn Tokenizer,
        vocab_size: usize,
    ) -> Result<Self, RunError> {
        let schema = config.schema();
        let template = Template::load(&config.template, Some(&config.model))
            .map_err(|error| RunError::Usage(format!("--template: {error}")))?;
        let templated = config.data.any(DataKind::Rows).then_some(&template);
        let prompt = Prompt::new(templated, tokenizer);
        let reading = Reading {
            schema: schema.as_ref(),
            template: &template,
            tokenizer,
            limits: Limits {
                max_seq_len: config.max_seq_len,
                vocab_size,
            },
        };
        let Dataset {
            samples,
            train,
            validation,
            notes,
        } = load::load(&config.data, reading, config.validation, config.seed)?;
        let hash = fingerprint::of_rows(&samples, &train, &validation).map_err(load::temporary)?;
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
        let batches = Batches::new(samples, train, batches)?;
        Ok(Self {
            steps_per_epoch: batches.steps_per_epoch(),
            batches,
            validation,
            hash,
            pad_id,
            prompt,
            notes,
        })
    }
}
