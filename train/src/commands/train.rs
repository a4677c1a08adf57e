//! `bone train`.

use super::adapter::{ADAPTER, CHECKPOINTS, MODEL, RESULTS};
use super::{CommandError, precision};
use crate::config::{self, DtypeChoice, Init, Method, TrainArgs, TrainConfig};
use crate::data::{BatchConfig, Batches};
use crate::dataset::{self, Dataset};
use crate::device::{self, OnDevice};
use crate::memory::{Estimate, ModelShape, RunShape, available_memory, human, peak_resident_bytes};
use crate::models::{self, ModelInfo, ModelSource, WithModel, save_folder, with_model};
use crate::optimizer::{AdamWSettings, Optimizer};
use crate::report::{self, Event, Reporter, StartReport, Summary};
use crate::step::{Savings, TrainBackend, TrainModel};
use crate::trainer::{Data, Outcome, Plan, TrainError, train};
use bone_lm::tokenizer::{HfTokenizer, Tokenizer};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The file every setting of a run is written to.
pub(crate) const CONFIG_FILE: &str = "config.toml";

/// Reads settings, then runs.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &TrainArgs) -> Result<(), CommandError> {
    let config = config::resolve(args)?;
    let mut reporter = report::console();
    run_config(&config, &mut reporter).map(|_| ())
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
) -> Result<Outcome, CommandError> {
    let started = Instant::now();
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
        (Method::Adapter(_), choice) => choice,
    };
    let precision = precision::choose(dtype, &info, device);
    let chunk = config.head_chunk_for(info.llama.vocab_size);
    let estimate = estimate(config, &info, &precision, chunk);
    let limit = available_memory();
    if device.kind == device::Kind::Cpu {
        estimate.check(limit)?;
    }

    let tokenizer = HfTokenizer::from_folder(&config.model)?;
    console_phase(console, "reading the rows")?;
    let Dataset { split, notes } = dataset::load(config, &tokenizer, info.llama.vocab_size)?;
    let pad_id = tokenizer.eos().first().copied().unwrap_or(0);
    let batches = Batches::new(
        split.train,
        BatchConfig {
            batch_size: config.batch_size,
            gradient_accumulation: config.gradient_accumulation,
            window: 16,
            seed: config.seed,
            pad_id,
        },
    )?;
    let steps_per_epoch = usize::try_from(batches.steps_per_epoch()).unwrap_or(usize::MAX);
    let total_steps = config.total_steps(steps_per_epoch);
    let plan = Plan {
        total_steps,
        schedule: config.schedule(total_steps),
        savings: Savings {
            recompute: config.recompute,
            head_chunk: config.chunked_head.then_some(chunk),
        },
        seed: config.seed,
        eval_every: config.eval_interval(total_steps),
        save_every: config.save_every,
        eval_batch_size: config.batch_size,
        pad_id,
    };
    let mut lines = vec![
        format!(
            "{} of {} parameters, {} blocks",
            info.architecture.name(),
            grouped(info.llama.num_params()),
            info.llama.num_hidden_layers
        ),
        format!("device: {device} ({device_reason})"),
        format!("base weights: {}", precision.text),
        format!(
            "memory: about {} of {}; {estimate}",
            human(estimate.total()),
            human(limit.bytes)
        ),
    ];
    lines.extend(notes);
    if config.max_seq_len > info.llama.max_position_embeddings {
        lines.push(format!(
            "note: max_seq_len {} is beyond the {} positions the model was made for",
            config.max_seq_len, info.llama.max_position_embeddings
        ));
    }

    console_phase(console, "loading the model")?;
    let source = ModelSource {
        folder: config.model.clone(),
        dtype: precision.convert,
        random: random.then_some(config.seed),
    };
    device::on_device(
        device,
        RunOn {
            config,
            source: &source,
            job: Job {
                config,
                data: Data {
                    batches,
                    validation: split.validation,
                },
                plan,
                lines,
                console,
                started,
            },
        },
    )?
}

fn console_phase(console: &mut dyn Reporter, what: &str) -> Result<(), CommandError> {
    console
        .report(Event::Phase(what))
        .map_err(|error| TrainError::from(error).into())
}

/// `1234567` as `1,234,567`.
fn grouped(number: usize) -> String {
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
) -> Estimate {
    let llama = &info.llama;
    let model = ModelShape {
        parameters: llama.num_params(),
        block_parameters: llama.block_params(),
        hidden_size: llama.hidden_size,
        intermediate_size: llama.intermediate_size,
        num_layers: llama.num_hidden_layers,
        vocab_size: llama.vocab_size,
        num_attention_heads: llama.num_attention_heads,
        head_dim: llama.head_dim,
    };
    let (trains_base, trainable_parameters) = match &config.method {
        Method::Full => (true, model.parameters),
        // Before the model is there: every layer's adapter on all seven projections.
        Method::Adapter(adapter) => {
            let (h, f) = (llama.hidden_size, llama.intermediate_size);
            let q = llama.num_attention_heads * llama.head_dim;
            let kv = llama.num_key_value_heads * llama.head_dim;
            let layers = [(h, q), (h, kv), (h, kv), (q, h), (h, f), (h, f), (f, h)];
            let each: usize = layers
                .iter()
                .map(|(i, o)| adapter.variant.shape(adapter.rank, *i, *o))
                .map(|shape| shape.iter().product::<usize>())
                .sum();
            (false, each * llama.num_hidden_layers)
        }
    };
    Estimate::new(
        &model,
        &RunShape {
            trainable_parameters,
            trains_base,
            base_bytes_per_parameter: precision.bytes,
            base_mapped: precision.mapped,
            batch_size: config.batch_size,
            max_seq_len: config.max_seq_len,
            recompute: config.recompute,
            chunked_head: config.chunked_head,
            head_chunk: chunk,
        },
    )
}

struct RunOn<'a> {
    config: &'a TrainConfig,
    source: &'a ModelSource,
    job: Job<'a>,
}

impl OnDevice for RunOn<'_> {
    type Output = Result<Outcome, CommandError>;

    fn run<B: TrainBackend>(self, device: B::Device) -> Self::Output {
        let work = TrainOn::<B> {
            device: device.clone(),
            method: &self.config.method,
            job: self.job,
        };
        with_model::<B, _>(self.source, &device, work)?
    }
}

struct TrainOn<'a, B: TrainBackend> {
    device: B::Device,
    method: &'a Method,
    job: Job<'a>,
}

impl<B: TrainBackend> WithModel<B> for TrainOn<'_, B> {
    type Output = Result<Outcome, CommandError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let model = match self.method {
            Method::Full => bone::unfreeze_all::<B, M>(model),
            Method::Adapter(adapter) => {
                bone::freeze_base::<B, M>(bone::attach::<B, M>(model, adapter)?)
            }
        };
        self.job.run(model, &self.device)
    }
}

/// Everything of a run that does not depend on backend or model.
struct Job<'a> {
    config: &'a TrainConfig,
    data: Data,
    plan: Plan,
    lines: Vec<String>,
    console: &'a mut dyn Reporter,
    started: Instant,
}

/// The console and the record in the output folder.
struct Both<'a>(&'a mut dyn Reporter, report::Metrics);

impl Reporter for Both<'_> {
    fn report(&mut self, event: Event<'_>) -> Result<(), report::ReportError> {
        self.0.report(event)?;
        self.1.report(event)
    }
}

impl Job<'_> {
    fn run<B: TrainBackend, M: TrainModel<B>>(
        mut self,
        model: M,
        device: &B::Device,
    ) -> Result<Outcome, CommandError> {
        let config = self.config;
        let count = bone::count_params::<B, M>(&model);
        self.lines.push(format!(
            "{}: {} of {} parameters train ({:.2} %)",
            config.method.name(),
            grouped(count.trainable),
            grouped(count.total),
            100.0 * count.trainable as f64 / count.total as f64
        ));
        std::fs::create_dir_all(&config.out).map_err(CommandError::io(&config.out))?;
        if config.overwrite {
            // What an older run left would be taken for this one's result.
            for old in RESULTS.map(|name| config.out.join(name)) {
                if old.exists() {
                    std::fs::remove_dir_all(&old).map_err(CommandError::io(&old))?;
                }
            }
        }
        let written = config.out.join(CONFIG_FILE);
        std::fs::write(&written, config.to_toml()).map_err(CommandError::io(&written))?;
        let metrics = report::Metrics::create(&config.out).map_err(TrainError::from)?;
        let mut reporter = Both(self.console, metrics);
        let report = |reporter: &mut Both<'_>, event: Event<'_>| {
            reporter.report(event).map_err(TrainError::from)
        };
        report(
            &mut reporter,
            Event::Start(&StartReport {
                settings: config.lines(),
                model: self.lines,
                total_steps: self.plan.total_steps,
            }),
        )?;
        let optimizer = Optimizer::new(AdamWSettings {
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.eps,
            weight_decay: config.weight_decay,
            max_grad_norm: (config.max_grad_norm > 0.0).then_some(config.max_grad_norm),
        });
        let (model, outcome) = train(
            model,
            optimizer,
            &mut self.data,
            &self.plan,
            device,
            &mut reporter,
            |model, step| {
                let folder = config.out.join(CHECKPOINTS).join(format!("step-{step}"));
                save::<B, M>(model, config, &folder)
                    .map(|_| ())
                    .map_err(|error| error.to_string())
            },
        )?;
        let saved = save::<B, M>(&model, config, &config.out)?;
        report(&mut reporter, Event::Saved(&saved))?;
        report(
            &mut reporter,
            Event::Finish(&Summary {
                steps: self.plan.total_steps,
                tokens: outcome.tokens,
                tokens_processed: outcome.tokens_processed,
                seconds: self.started.elapsed().as_secs_f64(),
                first_validation_loss: outcome.first_validation,
                last_validation_loss: outcome.last_validation,
                peak_resident_bytes: peak_resident_bytes(),
                out: config.out.clone(),
            }),
        )?;
        Ok(outcome)
    }
}

/// Writes what trained into `folder`: `adapter/` or `model/`.
fn save<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    config: &TrainConfig,
    folder: &Path,
) -> Result<PathBuf, CommandError> {
    match &config.method {
        Method::Adapter(adapter) => {
            let folder = folder.join(ADAPTER);
            let base = config.model.to_string_lossy();
            bone::peft::save::<B, M>(model, adapter, Some(&base), &folder)?;
            Ok(folder)
        }
        Method::Full => {
            let folder = folder.join(MODEL);
            save_folder(&model.valid(), &config.model, &folder)?;
            Ok(folder)
        }
    }
}
