//! The part of a run that happens on a device.

use super::trained::{Prepared, prepare, save};
use super::{CONFIG_FILE, grouped};
use crate::commands::CommandError;
use crate::commands::adapter::{CHECKPOINTS, RESULTS};
use crate::config::TrainConfig;
use crate::device::OnDevice;
use crate::memory::peak_resident_bytes;
use crate::models::{ModelBackend, ModelSource, WithModel, with_model};
use crate::optimizer::{AdamWSettings, Optimizer};
use crate::prompt::Prompt;
use crate::report::{self, Event, Reporter, StartReport, Summary};
use crate::step::{TrainBackend, TrainModel};
use crate::trainer::{Data, Outcome, Plan, TrainError, train};
use std::time::{Duration, Instant};

/// A job and the model it is for.
pub(super) struct RunOn<'a> {
    pub(super) source: &'a ModelSource,
    pub(super) job: Job<'a>,
}

impl OnDevice for RunOn<'_> {
    type Output = Result<Outcome, CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let work = TrainOn::<B> {
            device: device.clone(),
            job: self.job,
        };
        with_model::<B, _>(self.source, &device, work)?
    }
}

struct TrainOn<'a, B: TrainBackend> {
    device: B::Device,
    job: Job<'a>,
}

impl<B: TrainBackend> WithModel<B> for TrainOn<'_, B> {
    type Output = Result<Outcome, CommandError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let started = Instant::now();
        let prepared = prepare::<B, M>(model, self.job.config)?;
        self.job.run(prepared, started.elapsed(), &self.device)
    }
}

/// Everything of a run that does not depend on backend or model.
pub(super) struct Job<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) data: Data,
    pub(super) plan: Plan,
    pub(super) prompt: Prompt,
    pub(super) lines: Vec<String>,
    pub(super) console: &'a mut dyn Reporter,
    pub(super) started: Instant,
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
        prepared: Prepared<M>,
        set_up: Duration,
        device: &B::Device,
    ) -> Result<Outcome, CommandError> {
        let config = self.config;
        let Prepared { model, whole } = prepared;
        let count = bone::count_params::<B, M>(&model);
        self.lines.push(format!(
            "{}: {} of {} parameters train ({:.2} %); set up in {:.2} s",
            config.method.name(),
            grouped(count.trainable),
            grouped(count.total),
            100.0 * count.trainable as f64 / count.total as f64,
            set_up.as_secs_f64()
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
            lora_plus_ratio: config.lora_plus_ratio,
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
                save::<B, M>(model, &whole, (config, &self.prompt), &folder)
                    .map(|_| ())
                    .map_err(|error| error.to_string())
            },
        )?;
        let saved = save::<B, M>(&model, &whole, (config, &self.prompt), &config.out)?;
        report(&mut reporter, Event::Saved(&saved))?;
        report(
            &mut reporter,
            Event::Finish(&Summary {
                steps: self.plan.total_steps,
                tokens: outcome.tokens,
                tokens_processed: outcome.tokens_processed,
                skipped_steps: outcome.skipped_steps,
                seconds: self.started.elapsed().as_secs_f64(),
                first_validation_loss: outcome.first_validation,
                last_validation_loss: outcome.last_validation,
                peak_resident_bytes: peak_resident_bytes(),
                trained_parameters: count.trainable,
                set_up_seconds: set_up.as_secs_f64(),
                out: config.out.clone(),
            }),
        )?;
        Ok(outcome)
    }
}
