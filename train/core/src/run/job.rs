//! The part of a run that uses a device.

use super::checkpoint::{Found, Keep, Saver, Snapshot, read_tensors, try_out};
use super::inputs::Inputs;
use super::keeper::{Keeper, Results};
use super::lock::Lock;
use super::prepare::{Prepared, Product, prepare};
use super::record::Record;
use super::result::write_result;
use super::signals::Signals;
use super::start::Start;
use super::{Host, Outcome, RunError, advice, folder};
use crate::config::TrainConfig;
use crate::device::OnDevice;
use crate::memory::peak_resident_bytes;
use crate::models::{ModelBackend, ModelSource, WithModel, with_model};
use crate::optimizer::{AdamWSettings, Optimizer, Trained, TrainedMoments};
use crate::report::{EvalReport, Event, Reporter, StartReport, Summary};
use crate::step::{TrainBackend, TrainModel};
use crate::trainer::{Progress, Run, evaluate, tell_evaluation, train, try_batch};
use bone::ParamCount;
use bone_data::{Batch, grouped, joined};
use std::time::{Duration, Instant};

/// A job and its model.
pub(super) struct OnModel<'a> {
    pub(super) model: ModelSource,
    pub(super) job: Job<'a>,
}

impl OnDevice for OnModel<'_> {
    type Output = Result<Outcome, RunError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let dtype = self.job.inputs.fit.precision.convert;
        let work = TrainOn::<B> {
            device: device.clone(),
            job: self.job,
        };
        with_model::<B, _>(self.model, dtype, &device, work)?
    }
}

struct TrainOn<'a, B: TrainBackend> {
    device: B::Device,
    job: Job<'a>,
}

impl<B: TrainBackend> WithModel<B> for TrainOn<'_, B> {
    type Output = Result<Outcome, RunError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let started = Instant::now();
        let prepared = prepare::<B, M>(model, &self.job.inputs.config)?;
        self.job.run(prepared, started.elapsed(), &self.device)
    }
}

/// Everything in a run that does not depend on the backend or the model.
pub(super) struct Job<'a> {
    pub(super) inputs: Inputs,
    pub(super) start: Start,
    pub(super) host: Host<'a>,
    pub(super) started: Instant,
    pub(super) lock: Option<Lock>,
}

impl Job<'_> {
    fn run<B: TrainBackend, M: TrainModel<B>>(
        mut self,
        prepared: Prepared<M>,
        set_up: Duration,
        device: &B::Device,
    ) -> Result<Outcome, RunError> {
        let Prepared { model, whole } = prepared;
        let count = bone::count_params::<B, M>(&model);
        let (config, prompt) = (self.inputs.config.clone(), self.inputs.prompt.clone());
        let results = |model: &M| Product::of::<B, M>(model, &whole, &config, &prompt);
        let (out, signals) = (&config.out, self.host.signals);
        let mut optimizer = optimizer(&config);
        let model = match self.start.found() {
            None => model,
            Some(found) => put_back(model, &mut optimizer, found, device)?,
        };
        let mut run = Run {
            model,
            optimizer,
            progress: self.inputs.progress.clone(),
        };
        let _lock = folder::take(&config, self.lock.take())?;
        // From here on a signal waits until the folder is in a consistent state.
        let waiting = signals.map(Signals::wait);
        if let Some(batch) = self.inputs.largest.take() {
            self.shake_down(&run, &batch, &results, device)?;
        }
        let start = self.start_report(&run.progress, &count, set_up);
        self.host.reporter.report(Event::Start(&start))?;
        let first = self.first_evaluation(&mut run, device)?;
        let total_steps = self.inputs.plan.total_steps;
        let stopped_at = |signal, steps, unsaved: Option<&str>| {
            RunError::stopped(signal, (steps, total_steps), out, unsaved)
        };
        if let Some(signal) = signals.and_then(Signals::ends) {
            return Err(stopped_at(signal, 0, None));
        }
        let (metrics, log) = folder::begin(&config, &self.start)?;
        let mut record = Record {
            console: self.host.reporter,
            metrics,
            log,
        };
        record.log.report(Event::Start(&start))?;
        if let Some(first) = first {
            tell_evaluation(first, &mut record)?;
        }
        let Inputs {
            mut data,
            plan,
            mut identity,
            ..
        } = self.inputs;
        let resumed = self.start.resumed().map(|found| found.state.progress.steps);
        let saver = Saver::new(out, keep(&config), resumed)?;
        let mut keeper = Keeper::new(
            saver,
            &config,
            signals,
            &mut identity,
            self.started,
            &results,
        );
        let run = train(run, &mut data, &plan, device, &mut record, &mut keeper);
        let stopped = keeper.stopped.take();
        let is_saved = keeper.saver.has(total_steps);
        // Dropping the keeper waits for the checkpoint that is being written.
        drop(keeper);
        let Run {
            model, progress, ..
        } = run.map_err(|error| {
            let hint = advice::after_steps(&error, out);
            RunError::from(error).of_run(out, hint)
        })?;
        if let Some((signal, unsaved)) = stopped {
            return Err(stopped_at(signal, progress.steps, unsaved.as_deref()));
        }
        let write = |record: &mut Record<'_>| {
            let saved = results(&model)?.save(out)?;
            record.metrics.sync()?;
            folder::finish(out, &saved, progress.steps)?;
            Ok(saved)
        };
        let result = write_result(
            write,
            |signal, why| stopped_at(signal, progress.steps, Some(why)),
            (out, 4 * count.trainable as u64),
            is_saved,
            signals,
            &mut record,
        );
        let result =
            result.map_err(|error| error.of_run(out, advice::at_the_end(&progress, out)))?;
        drop(waiting);
        record.report(Event::Saved(&result))?;
        record.report(Event::Finish(&Summary {
            steps: total_steps,
            tokens: progress.tokens,
            tokens_processed: progress.tokens_processed,
            skipped_steps: progress.skipped,
            seconds: identity.state.seconds + self.started.elapsed().as_secs_f64(),
            first_validation_loss: progress.first_validation,
            last_validation_loss: progress.last_validation,
            peak_resident_bytes: peak_resident_bytes(),
            trained_parameters: count.trainable,
            set_up_seconds: set_up.as_secs_f64(),
            out: out.clone(),
        }))?;
        Ok(Outcome { result, progress })
    }

    fn start_report(
        &mut self,
        progress: &Progress,
        count: &ParamCount,
        set_up: Duration,
    ) -> StartReport {
        let Inputs {
            config,
            lines,
            plan,
            ..
        } = &mut self.inputs;
        let share = 100.0 * count.trainable as f64 / count.total as f64;
        lines.push(format!(
            "{}: training {} of {} parameters ({share:.2} %); set up in {:.2} s",
            config.method,
            grouped(count.trainable),
            grouped(count.total),
            set_up.as_secs_f64()
        ));
        StartReport {
            settings: config.lines(),
            model: std::mem::take(lines),
            total_steps: plan.total_steps,
            recent_losses: progress.recent.clone(),
        }
    }

    /// Tries a batch of the longest rows, and a checkpoint of the full size.
    fn shake_down<B: TrainBackend, M: TrainModel<B>>(
        &mut self,
        run: &Run<B, M>,
        batch: &Batch,
        results: Results<'_, M>,
        device: &B::Device,
    ) -> Result<(), RunError> {
        self.host.reporter.report(Event::Phase(
            "testing memory and disk space with the longest rows and a checkpoint",
        ))?;
        try_batch::<B, M>(&run.model, batch, &self.inputs.plan, device);
        let mut trained = run.optimizer.trained(&run.model);
        // Later checkpoints also hold moments.
        for Trained { values, moments } in trained.values_mut() {
            let like = || TrainedMoments {
                time: 0,
                first: values.clone(),
                second: values.clone(),
            };
            moments.get_or_insert_with(like);
        }
        let snapshot = Snapshot {
            state: self
                .inputs
                .identity
                .state
                .at(run.progress.clone(), &trained),
            trained,
            product: results(&run.model)?,
        };
        let config = &self.inputs.config;
        let lack = try_out(&config.out, keep(config), snapshot)?;
        self.inputs.lines.extend(lack);
        Ok(())
    }

    /// Evaluates a new run's held-out rows, before any file of an older run is changed.
    fn first_evaluation<B: TrainBackend, M: TrainModel<B>>(
        &mut self,
        run: &mut Run<B, M>,
        device: &B::Device,
    ) -> Result<Option<EvalReport>, RunError> {
        let (validation, plan) = (&self.inputs.data.validation, &self.inputs.plan);
        if self.start.resumed().is_some() || validation.is_empty() {
            return Ok(None);
        }
        if plan.tunes_kernels {
            self.host.reporter.report(Event::Tuning)?;
        }
        let signals = self.host.signals;
        let stops = || signals.and_then(Signals::ends).is_some();
        let (model, progress) = (&run.model, &mut run.progress);
        Ok(evaluate::<B, M>(
            model, progress, validation, plan, device, stops,
        ))
    }
}

/// Returns the optimizer of a run, without moments yet.
pub fn optimizer<B: TrainBackend>(config: &TrainConfig) -> Optimizer<B> {
    Optimizer::new(AdamWSettings {
        beta1: config.beta1,
        beta2: config.beta2,
        epsilon: config.eps,
        weight_decay: config.weight_decay,
        max_grad_norm: (config.max_grad_norm > 0.0).then_some(config.max_grad_norm),
        lora_plus_ratio: config.lora_plus_ratio,
    })
}

/// Returns which checkpoints are kept.
fn keep(config: &TrainConfig) -> Keep {
    Keep {
        last: config.keep_last,
        best: config.keep_best,
    }
}

/// Restores the weights and moments of a checkpoint into the model and its optimizer.
fn put_back<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    optimizer: &mut Optimizer<B>,
    found: &Found,
    device: &B::Device,
) -> Result<M, RunError> {
    let folder = &found.at.folder;
    let trained = read_tensors(folder, &found.state);
    let trained = trained.map_err(|wrong| RunError::path(folder, wrong))?;
    let model = optimizer.put_back(model, trained, device);
    model.map_err(|problems| {
        RunError::Usage(format!(
            "--resume {}: with these settings the trained parameters differ from the checkpoint's:\n  {}\nRemove \
             your changes of method, rank, targets or train_parts. To keep them, merge the adapter and train \
             the merged model",
            folder.display(),
            joined(problems, "\n  ")
        ))
    })
}
