//! The part of a run that happens on a device.

use super::checkpoint::{Found, Keep, RunIdentity, Saver, Snapshot, State, read_tensors, try_out};
use super::inputs::Inputs;
use super::keeper::{Cadence, Keeper, Results};
use super::lock::Lock;
use super::prepare::{Prepared, Product, prepare};
use super::record::Record;
use super::result::{Place, Unfinished, write_result};
use super::signals::{Signal, Signals};
use super::start::Start;
use super::{Host, Outcome, RunError, Unsaved, advice, folder};
use crate::config::TrainConfig;
use crate::device::OnDevice;
use crate::memory::peak_resident_bytes;
use crate::models::{ModelBackend, ModelSource, WithModel, with_model};
use crate::optimizer::{AdamWSettings, Optimizer, Trained, TrainedMoments};
use crate::report::{EvalReport, Event, StartReport, Summary};
use crate::step::{TrainBackend, TrainModel};
use crate::trainer::{Progress, Run, TrainError, evaluate, train, try_batch};
use bone::ParamCount;
use bone_data::{Batch, grouped};
use std::time::{Duration, Instant};

/// A job and the model it is for.
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

/// Everything of a run that does not depend on backend or model.
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
        let product = Product {
            config: self.inputs.config.clone(),
            prompt: self.inputs.prompt.clone(),
            whole,
        };
        let config = &product.config;
        let run = Run {
            model,
            optimizer: optimizer(config),
            progress: self.inputs.progress.clone(),
        };
        let mut run = match self.start.found() {
            None => run,
            Some(found) => put_back(run, found, device)?,
        };
        let results = |model: &M| product.for_checkpoint::<B, M>(model);
        let _lock = folder::take(config, self.lock.take())?;
        // From here on a signal waits until the folder is as it should be.
        let waiting = self.host.signals.map(Signals::wait);
        if let Some(batch) = self.inputs.largest.take() {
            self.shake_down(&run, &batch, &results, device)?;
        }
        let start = self.start_report(&run.progress, &count, set_up);
        self.host.report(Event::Start(&start))?;
        let first = self.first_evaluation(&mut run, device)?;
        if let Some(signal) = self.host.signals.and_then(Signals::ends) {
            return Err(RunError::NotBegun { signal });
        }
        let resumed = self.start.resumed().map(|found| &found.state);
        let ready = folder::ready(config, resumed)?;
        let (metrics, log) = folder::begin(config, ready)?;
        let clock = Clock {
            before: resumed.map_or(0.0, |state| state.seconds),
            started: self.started,
        };
        let signals = self.host.signals;
        let at = (clock, resumed.map(|state| state.progress.steps));
        let mut record = Record::new(self.host.reporter, metrics, log);
        record.begin(&start, first)?;
        let Ended {
            run,
            stopped,
            is_saved,
        } = train_kept(
            run,
            &mut self.inputs,
            at,
            &results,
            signals,
            &mut record,
            device,
        )?;
        let progress = run.progress;
        let total_steps = self.inputs.plan.total_steps;
        let stopped_at = |signal, unsaved: Option<String>| match progress.steps {
            0 => RunError::NotBegun { signal },
            steps => RunError::Stopped {
                signal,
                steps,
                total_steps,
                out: config.out.clone(),
                unsaved: unsaved.map(|why| Unsaved::new(why, &config.out)),
            },
        };
        if let Some((signal, unsaved)) = stopped {
            return Err(stopped_at(signal, unsaved));
        }
        let write = |record: &mut Record<'_>| {
            let saved = product.save::<B, M>(&run.model)?;
            record.sync()?;
            folder::finish(&config.out, &saved, progress.steps)?;
            Ok(saved)
        };
        let place = Place {
            out: &config.out,
            bytes: 4 * count.trainable as u64,
            is_saved,
        };
        let result = write_result(write, place, signals, &mut record);
        let result = result.map_err(|unfinished| match unfinished {
            Unfinished::Failed(error) => {
                error.of_run(&config.out, advice::at_the_end(&progress, &config.out))
            }
            Unfinished::Stopped(signal, why) => stopped_at(signal, Some(why)),
        })?;
        drop(waiting);
        record.tell(Event::Saved(&result))?;
        record.tell(Event::Finish(&Summary {
            steps: total_steps,
            tokens: progress.tokens,
            tokens_processed: progress.tokens_processed,
            skipped_steps: progress.skipped,
            seconds: clock.seconds(),
            first_validation_loss: progress.first_validation,
            last_validation_loss: progress.last_validation,
            peak_resident_bytes: peak_resident_bytes(),
            trained_parameters: count.trainable,
            set_up_seconds: set_up.as_secs_f64(),
            out: config.out.clone(),
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
            "{}: {} of {} parameters train ({share:.2} %); set up in {:.2} s",
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

    /// Tries a batch of the longest rows, and a checkpoint as large as a later one.
    fn shake_down<B: TrainBackend, M: TrainModel<B>>(
        &mut self,
        run: &Run<B, M>,
        batch: &Batch,
        results: Results<'_, M>,
        device: &B::Device,
    ) -> Result<(), RunError> {
        self.host
            .report(Event::Phase("trying the longest rows and a checkpoint"))?;
        try_batch::<B, M>(&run.model, batch, &self.inputs.plan, device);
        let mut trained = run.optimizer.trained(&run.model);
        // A later one has moments.
        for Trained { values, moments } in trained.values_mut() {
            let like = || TrainedMoments {
                time: 0,
                first: values.clone(),
                second: values.clone(),
            };
            moments.get_or_insert_with(like);
        }
        let snapshot = Snapshot {
            state: State::new(run.progress.clone(), &trained, &RunIdentity::default()),
            trained,
            result: results(&run.model)?,
        };
        let config = &self.inputs.config;
        let lack = try_out(&config.out, keep(config), snapshot);
        self.inputs.lines.extend(lack.map_err(TrainError::Save)?);
        Ok(())
    }

    /// Evaluates a new run's held-out rows, before anything of an older run is touched.
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
            self.host.report(Event::Tuning)?;
        }
        let signals = self.host.signals;
        let stops = || signals.and_then(Signals::ends).is_some();
        let (model, progress) = (&run.model, &mut run.progress);
        let found = evaluate::<B, M>(model, progress, validation, plan, device, stops);
        Ok(found.map(|(report, _)| report))
    }
}

/// How long a run has taken, before it was resumed as well.
#[derive(Debug, Clone, Copy)]
struct Clock {
    before: f64,
    started: Instant,
}

impl Clock {
    fn seconds(self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}

/// A run whose loop has ended.
struct Ended<B: TrainBackend, M> {
    run: Run<B, M>,
    /// The signal that stopped it, and why there is no checkpoint of its last step, if so.
    stopped: Option<(Signal, Option<String>)>,
    /// Whether a checkpoint holds the last step.
    is_saved: bool,
}

/// Trains, saves checkpoints and stops when a signal says so.
fn train_kept<B: TrainBackend, M: TrainModel<B>>(
    run: Run<B, M>,
    inputs: &mut Inputs,
    start: (Clock, Option<usize>),
    results: Results<'_, M>,
    signals: Option<&'static Signals>,
    record: &mut Record<'_>,
    device: &B::Device,
) -> Result<Ended<B, M>, RunError> {
    let (clock, resumed_at) = start;
    let Inputs {
        config,
        data,
        plan,
        identity,
        ..
    } = inputs;
    let total_steps = plan.total_steps;
    let mut identify = || identity.of(total_steps, clock.seconds());
    let saver = Saver::new(&config.out, keep(config), resumed_at).map_err(TrainError::Save)?;
    let mut keeper = Keeper::new(saver, Cadence::of(config), signals, &mut identify, results);
    let run = train(run, data, plan, device, record, &mut keeper);
    let stopped = keeper.stopped.take();
    let is_saved = keeper.saver.has(total_steps);
    // Waits for what is being written.
    drop(keeper);
    let run = run.map_err(|error| {
        let hint = advice::after_steps(&error, &config.out);
        RunError::from(error).of_run(&config.out, hint)
    })?;
    Ok(Ended {
        run,
        stopped,
        is_saved,
    })
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

/// Puts weights and moments of a checkpoint on the run.
fn put_back<B: TrainBackend, M: TrainModel<B>>(
    run: Run<B, M>,
    found: &Found,
    device: &B::Device,
) -> Result<Run<B, M>, RunError> {
    let trained = read_tensors(&found.at.folder, &found.state)?;
    let mut optimizer = run.optimizer;
    let model = optimizer.put_back(run.model, trained, device);
    let model = model.map_err(|problems| {
        RunError::Usage(format!(
            "--resume {}: these settings train other parameters than the checkpoint holds:\n  {}\nleave out \
             what was changed of method, rank, targets or parts, or start from its adapter with --adapter",
            found.at.folder.display(),
            problems.join("\n  ")
        ))
    })?;
    Ok(Run {
        model,
        optimizer,
        progress: run.progress,
    })
}
