//! The part of a run that happens on a device.

use super::ending::{Unfinished, write_result};
use super::folder;
use super::grouped;
use super::identity::Identity;
use super::keeper::{Cadence, Keeper, Results, pauses};
use super::lower;
use super::resume::Resumed;
use super::trained::{Prepared, prepare, result, save};
use crate::checkpoint::{Found, Keep, RunIdentity, Saver, Snapshot, State, read_tensors, try_out};
use crate::commands::{CommandError, Unsaved};
use crate::config::TrainConfig;
use crate::data::Batch;
use crate::device::OnDevice;
use crate::disk::explained;
use crate::lock::Lock;
use crate::memory::peak_resident_bytes;
use crate::models::{ModelBackend, ModelSource, WithModel, with_model};
use crate::optimizer::{AdamWSettings, Optimizer, Trained, TrainedMoments};
use crate::prompt::Prompt;
use crate::report::{self, EvalReport, Event, Reporter, StartReport, Summary};
use crate::signals::Signals;
use crate::step::{TrainBackend, TrainModel};
use crate::trainer::{
    Data, Plan, Progress, Run, TrainError, evaluate, tell_evaluation, train, try_batch,
};
use std::time::{Duration, Instant};

/// A job and the model it is for.
pub(super) struct RunOn<'a> {
    pub(super) source: &'a ModelSource,
    pub(super) job: Job<'a>,
}

impl OnDevice for RunOn<'_> {
    type Output = Result<Progress, CommandError>;

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
    type Output = Result<Progress, CommandError>;

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
    /// What it is known by.
    pub(super) identity: Identity,
    /// Where it goes on from.
    pub(super) resumed: Option<&'a Resumed>,
    /// The largest batch, where it is to be tried before the first step.
    pub(super) largest: Option<Batch>,
    pub(super) signals: Option<&'static Signals>,
    pub(super) lock: Option<Lock>,
}

/// The console, the record and the log in the output folder.
struct All<'a>(&'a mut dyn Reporter, report::Metrics, report::Log);

impl Reporter for All<'_> {
    fn report(&mut self, event: Event<'_>) -> Result<(), report::ReportError> {
        self.0.report(event)?;
        self.1.report(event)?;
        if let Event::Saved(_) = event {
            // Where there is no room its lines wait.
            let _ = self.1.sync();
        }
        if let Some(trouble) = self.1.trouble() {
            self.0.report(Event::Note(&trouble))?;
        }
        self.2.report(event)
    }

    fn unwritten(&mut self) -> String {
        self.1.unwritten()
    }
}

impl Job<'_> {
    /// Tries a batch of the longest rows, and a checkpoint as large as a later one.
    fn shake_down<B: TrainBackend, M: TrainModel<B>>(
        &mut self,
        run: &Run<B, M>,
        batch: &Batch,
        results: Results<'_, M>,
        device: &B::Device,
    ) -> Result<(), CommandError> {
        self.console
            .report(Event::Phase("trying the longest rows and a checkpoint"))
            .map_err(TrainError::from)?;
        try_batch::<B, M>(&run.model, batch, &self.plan, device);
        let mut trained = run.optimizer.trained(&run.model);
        // As large as a later one, which has moments.
        for Trained { values, moments } in trained.values_mut() {
            let like = || TrainedMoments {
                time: 0,
                first: values.clone(),
                second: values.clone(),
            };
            moments.get_or_insert_with(like);
        }
        let identity = RunIdentity::default();
        let snapshot = Snapshot {
            state: State::new(run.progress.clone(), &trained, &identity),
            trained,
            result: results(&run.model)?,
        };
        let lack = try_out(&self.config.out, keep(self.config), snapshot);
        self.lines.extend(lack.map_err(TrainError::Save)?);
        Ok(())
    }

    /// Evaluates a new run's held-out rows: before anything of an older run is touched.
    fn first_evaluation<B: TrainBackend, M: TrainModel<B>>(
        &mut self,
        run: &mut Run<B, M>,
        device: &B::Device,
    ) -> Result<Option<EvalReport>, CommandError> {
        let validation = &self.data.validation;
        if self.resumed.is_some() || validation.is_empty() {
            return Ok(None);
        }
        if self.plan.tunes_kernels {
            self.console
                .report(Event::Tuning)
                .map_err(TrainError::from)?;
        }
        let signals = self.signals;
        let stops = || signals.and_then(Signals::ends).is_some();
        let (model, progress) = (&run.model, &mut run.progress);
        let found = evaluate::<B, M>(model, progress, validation, &self.plan, device, stops);
        Ok(found.map(|(report, _)| report))
    }

    /// Makes the folder this run's, and begins its record there, or goes on with it.
    fn record(&mut self) -> Result<(report::Metrics, report::Log, Vec<String>), CommandError> {
        let resumed = match self.resumed {
            None => None,
            Some(Resumed { found, .. }) => {
                let state = &found.state;
                let run = self.identity.of(self.plan.total_steps, state.seconds)?;
                Some((state, run))
            }
        };
        let ready = folder::ready(self.config, resumed)?;
        folder::begin(self.config, ready)
    }

    fn run<B: TrainBackend, M: TrainModel<B>>(
        mut self,
        prepared: Prepared<M>,
        set_up: Duration,
        device: &B::Device,
    ) -> Result<Progress, CommandError> {
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
        let optimizer = Optimizer::new(AdamWSettings {
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.eps,
            weight_decay: config.weight_decay,
            max_grad_norm: (config.max_grad_norm > 0.0).then_some(config.max_grad_norm),
            lora_plus_ratio: config.lora_plus_ratio,
        });
        let run = Run {
            model,
            optimizer,
            progress: Progress::new(self.plan.loss_scale),
        };
        let mut run = match self.resumed {
            None => run,
            Some(resumed) => put_back(run, resumed, device)?,
        };
        let (config, prompt) = (self.config, self.prompt.clone());
        let results = |model: &M| result::<B, M>(model, &whole, (config, &prompt));
        let total_steps = self.plan.total_steps;
        let _lock = folder::take(config, self.lock.take())?;
        // From here on a signal waits until the folder is as it should be.
        let waiting = self.signals.map(Signals::wait);
        if let Some(batch) = self.largest.take() {
            self.shake_down(&run, &batch, &results, device)?;
        }
        let start = StartReport {
            settings: config.lines(),
            model: std::mem::take(&mut self.lines),
            total_steps,
            recent_losses: run.progress.recent.clone(),
        };
        self.console
            .report(Event::Start(&start))
            .map_err(TrainError::from)?;
        let first = self.first_evaluation(&mut run, device)?;
        if let Some(signal) = self.signals.and_then(Signals::ends) {
            let goes_on = self.resumed.is_some();
            return Err(CommandError::NotBegun { signal, goes_on });
        }
        let (metrics, mut log, aside) = self.record()?;
        log.report(Event::Start(&start)).map_err(TrainError::from)?;
        let mut reporter = All(self.console, metrics, log);
        let report = |reporter: &mut All<'_>, event: Event<'_>| {
            reporter.report(event).map_err(TrainError::from)
        };
        for line in &aside {
            report(&mut reporter, Event::Note(line))?;
        }
        if let Some(first) = first {
            tell_evaluation(first, &mut reporter).map_err(TrainError::from)?;
        }
        let before = self
            .resumed
            .map_or(0.0, |resumed| resumed.found.state.seconds);
        let (identity, started) = (&mut self.identity, self.started);
        let mut identify = || identity.of(total_steps, before + started.elapsed().as_secs_f64());
        let resumed_at = self.resumed.map(|_| run.progress.steps);
        let mut keeper = Keeper {
            saver: Saver::new(&config.out, keep(config), resumed_at).map_err(TrainError::Save)?,
            cadence: Cadence {
                steps: config.save_every,
                time: (config.save_minutes > 0.0)
                    .then(|| Duration::try_from_secs_f64(60.0 * config.save_minutes).ok())
                    .flatten(),
                best: config.keep_best,
            },
            signals: self.signals,
            identity: &mut identify,
            results: &results,
            saved_at: Instant::now(),
            owed: None,
            pauses: pauses(),
            stopped: None,
        };
        let (data, plan) = (&mut self.data, &self.plan);
        let run = train(run, data, plan, device, &mut reporter, &mut keeper);
        let stopped = keeper.stopped.take();
        let is_saved = keeper.saver.has(total_steps);
        // What is being written is waited for.
        drop(keeper);
        let run = run.map_err(|error| {
            let hint = lower::after_steps(&error, &config.out);
            CommandError::from(error).of_run(&config.out, hint)
        })?;
        let progress = run.progress;
        let stopped_at = |signal, steps, unsaved: Option<String>| CommandError::Stopped {
            signal,
            steps,
            total_steps,
            out: config.out.clone(),
            unsaved: unsaved.map(|why| Unsaved::new(why, &config.out)),
        };
        if let Some((signal, unsaved)) = stopped {
            if progress.steps == 0 {
                let goes_on = false;
                return Err(CommandError::NotBegun { signal, goes_on });
            }
            return Err(stopped_at(signal, progress.steps, unsaved));
        }
        let write = |reporter: &mut All<'_>| {
            let saved = save::<B, M>(&run.model, &whole, (config, &prompt), &config.out)?;
            reporter.1.sync().map_err(TrainError::from)?;
            folder::finish(&config.out, &saved, progress.steps)?;
            Ok(saved)
        };
        let takes = ("the result", 4 * count.trainable as u64, 4);
        let explain = |error: &CommandError| explained(error, takes, &config.out);
        let saved = write_result((write, explain), is_saved, self.signals, &mut reporter);
        let saved = saved.map_err(|unfinished| match unfinished {
            Unfinished::Failed(error) => {
                error.of_run(&config.out, lower::at_the_end(&progress, &config.out))
            }
            Unfinished::Stopped(signal, why) => stopped_at(signal, progress.steps, Some(why)),
        })?;
        drop(waiting);
        report(&mut reporter, Event::Saved(&saved))?;
        report(
            &mut reporter,
            Event::Finish(&Summary {
                steps: total_steps,
                tokens: progress.tokens,
                tokens_processed: progress.tokens_processed,
                skipped_steps: progress.skipped,
                seconds: before + started.elapsed().as_secs_f64(),
                first_validation_loss: progress.first_validation,
                last_validation_loss: progress.last_validation,
                peak_resident_bytes: peak_resident_bytes(),
                trained_parameters: count.trainable,
                set_up_seconds: set_up.as_secs_f64(),
                out: config.out.clone(),
            }),
        )?;
        Ok(progress)
    }
}

/// Which checkpoints are kept.
fn keep(config: &TrainConfig) -> Keep {
    Keep {
        last: config.keep_last,
        best: config.keep_best,
    }
}

/// The run as its checkpoint has it.
fn put_back<B: TrainBackend, M: TrainModel<B>>(
    run: Run<B, M>,
    resumed: &Resumed,
    device: &B::Device,
) -> Result<Run<B, M>, CommandError> {
    let Found { at, state } = &resumed.found;
    let trained = read_tensors(&at.folder, state)?;
    let Run {
        model,
        mut optimizer,
        ..
    } = run;
    let model = optimizer.put_back(model, trained, device);
    let model = model.map_err(|problems| {
        CommandError::Usage(format!(
            "--resume {}: with these settings other parameters train than those that are in it:\n  {}\nleave \
             out what was changed of method, rank, targets or parts, or begin a new run",
            at.folder.display(),
            problems.join("\n  ")
        ))
    })?;
    Ok(Run {
        model,
        optimizer,
        progress: state.progress.clone(),
    })
}
